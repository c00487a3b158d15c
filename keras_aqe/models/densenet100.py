import keras

from keras_aqe.models.parts import Parts, check_input_shape


def DenseNet100(
    input_bits=1,
    weight_bits=1,
    input_shape=(32, 32, 3),
    classes=10,
    quantize_first=True,
    quantize_last=True,
    depth=100,
    growth_rate=12,
    bottleneck=True,
    compression=0.5,
    estimator="aqe",
    stochastic=False,
    pad_value=0.0,
    name="densenet100",
):
    """DenseNet-100 (k = 12) with M-bit inputs and N-bit weights.

    A 3x3 convolution and three dense blocks; each layer of a block sees the
    outputs of all before it and adds `growth_rate` channels by a 3x3
    convolution (with `bottleneck` after a 1x1 convolution to four times as
    many). Between blocks a 1x1 convolution keeps the share `compression` of
    the channels, and average pooling halves the size; global average pooling
    and a dense layer follow. The default is DenseNet-BC (0.77 million
    parameters), whose float errors, 4.51 % on CIFAR-10 and 22.27 % on
    CIFAR-100, are those that Chen et al. compare with. `bottleneck=False,
    compression=1.0` is the basic DenseNet (7.0 million parameters).

    A quantizer sits in front of each convolution, after the batch
    normalisation and hard tanh that open a layer (batch normalisation and
    ReLU where inputs are not quantized). What the layers concatenate stays
    wide: each layer normalises the same sums by a scale of its own before it
    quantizes them, and gradients reach early layers without a quantizer.

    Source: Chen et al., 2020, Table III; Huang et al., 2017, "Densely
    connected convolutional networks", Table 2.

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
        depth: Number of layers, `3 n + 4` with `n` convolutions in each
            block; with `bottleneck`, `n` is even.
        growth_rate: Channels k that each layer of a block adds.
        bottleneck: Whether a 1x1 convolution to `4 k` channels stands before
            each 3x3 convolution.
        compression: Share of the channels that is kept between blocks, in
            (0, 1].
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether the quantizers train in their stochastic form.
        pad_value: What the 'same' padding of convolutions fills in. 0 is
            Keras's; +1 keeps 1-bit inputs at one bit, which Larq Compute
            Engine runs faster.
        name: Name of the model.

    Returns:
        A `keras.Model` from images to logits, not compiled.

    Raises:
        ValueError: If a width, the input shape, the depth or the compression
            is not one of the above.

    Example:

    >>> model = DenseNet100(input_bits=32, weight_bits=3, depth=10)
    >>> model.output_shape
    (None, 10)
    """
    if depth < 7 or depth % 3 != 1 or (bottleneck and depth % 6 != 4):
        raise ValueError(
            "`depth` must be 3 n + 4 with n convolutions in each block, and n "
            "must be even with `bottleneck=True`; such as 40 or 100. "
            f"Received: depth={depth}, bottleneck={bottleneck}"
        )
    if not 0 < compression <= 1:
        raise ValueError(
            "`compression` must be in (0, 1]. "
            f"Received: compression={compression}"
        )
    check_input_shape(input_shape, 4)
    parts = Parts(input_bits, weight_bits, estimator, stochastic, pad_value)

    def opening(x, name):
        return parts.activation(parts.norm(x, name), name)

    def dense_layer(x, name):
        y = opening(x, f"{name}_input")
        if bottleneck:
            y = parts.conv(y, 4 * growth_rate, 1, f"{name}_bottleneck")
            y = opening(y, f"{name}_bottleneck")
        y = parts.conv(y, growth_rate, 3, f"{name}_conv")
        return keras.layers.Concatenate(name=f"{name}_concat")([x, y])

    def transition(x, name):
        channels = int(compression * x.shape[-1])
        x = opening(x, f"{name}_input")
        x = parts.conv(x, channels, 1, f"{name}_conv")
        return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)

    layers_per_block = (depth - 4) // (6 if bottleneck else 3)
    first = 2 * growth_rate if bottleneck and compression < 1 else 16
    inputs = keras.Input(input_shape, name="image")
    x = parts.image_conv(inputs, first, 3, "conv1", quantize=quantize_first)
    for block in range(3):
        if block:
            x = transition(x, f"transition{block}")
        for layer in range(layers_per_block):
            x = dense_layer(x, f"block{block + 1}_layer{layer + 1}")
    x = parts.activation(parts.norm(x, "last"), "last", quantize=False)
    x = parts.pooled_logits(x, classes, quantize_last)
    return keras.Model(inputs, x, name=name)
