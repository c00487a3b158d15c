"""The block of the ResNets, and the body of those for CIFAR."""

import keras


def residual_block(parts, x, filters, name, branches, strides=1, shortcut=None):
    """Two 3x3 convolutions, each with its input quantized, and a shortcut.

    "Full pre-activation" of He et al., 2016, Fig. 4(e): batch normalisation,
    activation and quantizer stand in front of each convolution. The sum goes
    on as it is, neither quantized nor clipped, so that every block adds what
    its low-bit branch found to a wide signal, and the gradient has a way back
    that passes no quantizer (Bi-Real net, Liu et al., 2018).

    A branch ends in a factor that is a power of two and not in batch
    normalisation: sums of branches are then exact in float32, and a converted
    network has the same codes as the Keras model in its last block too, where
    the rounding of another engine would else have added up.

    Args:
        parts: The network's `Parts`.
        x: The sum so far.
        filters: Filters of both convolutions.
        name: Name of the block.
        branches: Number of blocks of the network.
        strides: Strides of the first convolution.
        shortcut: Function from `x` and the branch's quantized input to what
            the branch is added to. `None` means `x`.

    Returns:
        The sum.
    """
    quantized = parts.opening(x, f"{name}_input")
    branch = parts.conv(quantized, filters, 3, f"{name}_conv1", strides=strides)
    branch = parts.opening(branch, f"{name}_conv1")
    branch = parts.conv(branch, filters, 3, f"{name}_conv2")
    products = 9 * filters * branches
    branch = parts.rescaled(branch, products, f"{name}_conv2")
    if shortcut is not None:
        x = shortcut(x, quantized)
    return keras.layers.Add(name=f"{name}_add")([x, branch])


def cifar_resnet(parts, x, depth, filters):
    """A convolution, three stages of equal blocks, pooling and a dense layer.

    Source: He et al., 2015, "Deep residual learning for image recognition",
    Sec. 4.2, with shortcuts of option A.

    Args:
        parts: The network's `Parts`.
        x: The image.
        depth: Number of layers, `6 n + 2` with `n` blocks in each stage.
        filters: Filters of the first stage; each next one has twice as many.

    Returns:
        The logits.
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(
            "`depth` must be 6 n + 2 with n blocks in each stage, such as 20, "
            f"56 or 110. Received: depth={depth}"
        )
    blocks = depth // 6
    products = 9 * x.shape[-1]
    x = parts.image_conv(x, filters, 3, "conv1")
    if parts.quantize_first:
        x = parts.rescaled(x, products, "conv1")
    for stage in range(3):
        for block in range(blocks):
            name = f"stage{stage + 1}_block{block + 1}"
            shrinks = stage > 0 and block == 0
            x = residual_block(
                parts,
                x,
                filters * 2**stage,
                name,
                3 * blocks,
                strides=2 if shrinks else 1,
                shortcut=_narrowed(f"{name}_shortcut") if shrinks else None,
            )
    x = parts.activation(parts.norm(x, "last"), "last", quantize=False)
    return parts.pooled_logits(x)


def _narrowed(name):
    """A shortcut to half the size and twice the channels."""

    def shortcut(x, quantized):
        channels = x.shape[-1]
        x = keras.layers.MaxPooling2D(1, 2, padding="same", name=name)(x)
        return keras.ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, channels)])

    return shortcut
