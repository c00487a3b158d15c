import keras

from keras_aqe.models.parts import Parts, check_input_shape
from keras_aqe.models.residual import residual_block


def ResNet110(
    input_bits=1,
    weight_bits=1,
    input_shape=(32, 32, 3),
    classes=10,
    quantize_first=True,
    quantize_last=True,
    depth=110,
    filters=16,
    estimator="aqe",
    stochastic=False,
    pad_value=0.0,
    name="resnet110",
):
    """ResNet-110 for CIFAR with M-bit inputs and N-bit weights.

    A 3x3 convolution, three stages of 18 residual blocks of two 3x3
    convolutions (16, 32 and 64 filters, stride 2 where they double), global
    average pooling and a dense layer: 1.73 million parameters.

    The quantizers sit inside the branches, each after hard tanh in front of
    its convolution (ReLU alone where inputs are not quantized). The sums of
    the shortcuts are neither quantized nor clipped, so that low-bit branches
    add to a wide signal, whose gradient passes no quantizer (Bi-Real net,
    Liu et al., 2018); over 54 blocks in a row, quantizers on that way would
    multiply their gradient factors. Where the shape changes, the shortcut
    takes every second pixel and fills new channels with zeros, without
    parameters. The last gamma of each branch starts at `1/sqrt(blocks)`,
    which keeps the sum within the range of the quantizers.

    Source: Chen et al., 2020, Table III; He et al., 2015, "Deep residual
    learning for image recognition", Sec. 4.2 (shortcuts of option A);
    He et al., 2016, "Identity mappings in deep residual networks", Fig. 4(d),
    for the order of layers; Liu et al., 2018, "Bi-Real net".

    Args:
        input_bits: Width M of the layers' inputs: 1, 2, 3, 4, 8, 16 or 32
            (no quantizer). The image itself is not quantized.
        weight_bits: Width N of the kernels: 1, 2, 3, 4, 16 or 32
            (no quantizer).
        input_shape: `(height, width, channels)`; height and width of at least
            4.
        classes: Number of logits.
        quantize_first: Whether the first layer's kernel is quantized.
        quantize_last: Whether the last layer's input and kernel are quantized.
            Batch normalisation then stands before and after it; else a bias
            is added.
        depth: Number of layers, `6 n + 2` with `n` blocks in each stage.
        filters: Filters of the first stage.
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether the quantizers train in their stochastic form.
        pad_value: What the 'same' padding of convolutions fills in. 0 is
            Keras's; +1 keeps 1-bit inputs at one bit, which Larq Compute
            Engine runs faster.
        name: Name of the model.

    Returns:
        A `keras.Model` from images to logits, not compiled.

    Raises:
        ValueError: If a width, the input shape or the depth is not one of the
            above.

    Example:

    >>> model = ResNet110(input_bits=32, weight_bits=3, depth=8)
    >>> model.output_shape
    (None, 10)
    """
    if depth < 8 or depth % 6 != 2:
        raise ValueError(
            "`depth` must be 6 n + 2 with n blocks in each stage, such as 20, "
            f"56 or 110. Received: depth={depth}"
        )
    check_input_shape(input_shape, 4)
    parts = Parts(input_bits, weight_bits, estimator, stochastic, pad_value)
    blocks = depth // 6

    inputs = keras.Input(input_shape, name="image")
    x = parts.image_conv(inputs, filters, 3, "conv1", quantize=quantize_first)
    x = parts.norm(x, "conv1")
    for stage in range(3):
        for block in range(blocks):
            name_ = f"stage{stage + 1}_block{block + 1}"
            shrinks = stage > 0 and block == 0
            x = residual_block(
                parts,
                x,
                filters * 2**stage,
                name_,
                strides=2 if shrinks else 1,
                shortcut=_narrowed(f"{name_}_shortcut") if shrinks else None,
                gamma=(3 * blocks) ** -0.5,
            )
    x = parts.activation(x, "last", quantize=False)
    x = parts.pooled_logits(x, classes, quantize_last)
    return keras.Model(inputs, x, name=name)


def _narrowed(name):
    """A shortcut to half the size and twice the channels."""

    def shortcut(x, quantized):
        channels = x.shape[-1]
        x = keras.layers.MaxPooling2D(1, 2, padding="same", name=name)(x)
        return keras.ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, channels)])

    return shortcut
