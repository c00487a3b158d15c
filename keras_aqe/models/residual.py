"""The residual block that the ResNets are made of."""

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
