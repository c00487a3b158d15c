import keras

from keras_aqe.models.parts import Parts, check_input_shape
from keras_aqe.models.residual import residual_block

_BLOCKS = 8


def ResNet18(
    input_bits=1,
    weight_bits=1,
    input_shape=(224, 224, 3),
    classes=1000,
    quantize_first=True,
    quantize_last=True,
    quantize_shortcut=False,
    filters=64,
    estimator="aqe",
    stochastic=False,
    pad_value=0.0,
    name="resnet18",
):
    """ResNet-18 for ImageNet with M-bit inputs and N-bit weights.

    A 7x7 convolution and 3x3 max pooling, both with stride 2, four stages of
    two residual blocks of two 3x3 convolutions (`filters` of them, doubled
    with each stage), global average pooling and a dense layer: 11.69 million
    parameters.

    The quantizers sit inside the branches, each after hard tanh in front of
    its convolution (ReLU alone where inputs are not quantized). The sums of
    the shortcuts are neither quantized nor clipped, so that low-bit branches
    add to a wide signal, whose gradient passes no quantizer
    (Bi-Real net, Liu et al., 2018). The 1x1 convolutions of the three
    shortcuts that change shape are on that way, so they stay float unless
    `quantize_shortcut` is set. The last gamma of each branch starts at
    1/sqrt(8), which keeps the sum of the 8 blocks within the range of
    the quantizers.

    Source: Chen et al., 2020, Table V; He et al., 2015, "Deep residual
    learning for image recognition", Table 1; He et al., 2016, "Identity
    mappings in deep residual networks", Fig. 4(d), for the order of layers;
    Liu et al., 2018, "Bi-Real net".

    Args:
        input_bits: Width M of the layers' inputs: 1, 2, 3, 4, 8, 16 or 32
            (no quantizer). The image itself is not quantized.
        weight_bits: Width N of the kernels: 1, 2, 3, 4, 16 or 32
            (no quantizer).
        input_shape: `(height, width, channels)`; height and width of at least
            32.
        classes: Number of logits.
        quantize_first: Whether the first layer's kernel is quantized.
        quantize_last: Whether the last layer's input and kernel are quantized.
            Batch normalisation then stands before and after it; else a bias
            is added.
        quantize_shortcut: Whether the 1x1 convolutions of shortcuts have
            quantized inputs and kernels too.
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
        ValueError: If a width or the input shape is not one of the above.

    Example:

    >>> model = ResNet18(input_bits=2, weight_bits=2,
    ...                  input_shape=(32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)
    """
    check_input_shape(input_shape, 32)
    parts = Parts(input_bits, weight_bits, estimator, stochastic, pad_value)

    def projection(filters, strides, name):
        def shortcut(x, quantized):
            if quantize_shortcut:
                x = parts.conv(quantized, filters, 1, name, strides)
            else:
                x = keras.layers.Conv2D(
                    filters, 1, strides, use_bias=False, name=name
                )(x)
            return parts.norm(x, name)

        return shortcut

    inputs = keras.Input(input_shape, name="image")
    x = parts.image_conv(
        inputs, filters, 7, "conv1", strides=2, quantize=quantize_first
    )
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="conv1_pool")(x)
    x = parts.norm(x, "conv1")
    for stage in range(4):
        for block in range(2):
            name_ = f"stage{stage + 1}_block{block + 1}"
            width = filters * 2**stage
            shrinks = stage > 0 and block == 0
            strides = 2 if shrinks else 1
            x = residual_block(
                parts,
                x,
                width,
                name_,
                strides=strides,
                shortcut=projection(width, strides, f"{name_}_shortcut")
                if shrinks
                else None,
                gamma=_BLOCKS**-0.5,
            )
    x = parts.activation(x, "last", quantize=False)
    x = parts.pooled_logits(x, classes, quantize_last)
    return keras.Model(inputs, x, name=name)
