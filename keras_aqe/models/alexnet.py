import keras

from keras_aqe.models.parts import Parts, check_input_shape


def AlexNet(
    input_bits=1,
    weight_bits=1,
    input_shape=(224, 224, 3),
    classes=1000,
    quantize_first=True,
    quantize_last=True,
    filters=(64, 192, 384, 256, 256),
    dense_units=4096,
    estimator="aqe",
    stochastic=False,
    pad_value=0.0,
    name="alexnet",
):
    """AlexNet with batch normalisation, M-bit inputs and N-bit weights.

    Five convolutions (11x11 with stride 4, 5x5, and three of 3x3; 3x3 max
    pooling with stride 2 after the first, second and fifth) and dense layers
    of `dense_units`, `dense_units` and `classes` units. Batch normalisation
    after each layer takes the place of local response normalisation, dropout
    and biases. Each is followed by hard tanh and the quantizer of the next
    layer's input, or by ReLU where inputs are not quantized.

    This is the network of one tower (Krizhevsky, 2014), which needs no
    grouped convolutions: 61.1 million parameters.

    Source: Chen et al., 2020, Table IV; Krizhevsky et al., 2012;
    Krizhevsky, 2014, "One weird trick for parallelizing convolutional neural
    networks".

    Args:
        input_bits: Width M of the layers' inputs: 1, 2, 3, 4, 8, 16 or 32
            (no quantizer). The image itself is not quantized.
        weight_bits: Width N of the kernels: 1, 2, 3, 4, 16 or 32
            (no quantizer).
        input_shape: `(height, width, channels)`; height and width of at least
            57.
        classes: Number of logits.
        quantize_first: Whether the first layer's kernel is quantized.
        quantize_last: Whether the last layer's input and kernel are quantized.
            Batch normalisation then scales the logits; else a bias is added.
        filters: Filters of the five convolutions.
        dense_units: Units of the two hidden dense layers.
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether the quantizers train in their stochastic form.
        pad_value: What the 'same' padding of convolutions fills in. 0 is
            Keras's; +1 keeps 1-bit inputs at one bit, which Larq Compute
            Engine runs faster.
        name: Name of the model.

    Returns:
        A `keras.Model` from images to logits, not compiled.

    Raises:
        ValueError: If a width, the input shape or the number of filters is
            not one of the above.

    Example:

    >>> model = AlexNet(input_bits=2, weight_bits=1, input_shape=(64, 64, 3),
    ...                 filters=(4, 8, 8, 8, 8), dense_units=16)
    >>> model.output_shape
    (None, 1000)
    """
    if len(filters) != 5:
        raise ValueError(
            "`filters` must be five numbers, one a convolution. "
            f"Received: filters={filters}"
        )
    check_input_shape(input_shape, 57)
    parts = Parts(input_bits, weight_bits, estimator, stochastic, pad_value)

    def follow(x, name, pool=False, quantize=True):
        if pool:
            x = keras.layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x)
        return parts.activation(parts.norm(x, name), name, quantize)

    inputs = keras.Input(input_shape, name="image")
    x = parts.image_conv(
        inputs, filters[0], 11, "conv1", strides=4, quantize=quantize_first
    )
    x = follow(x, "conv1", pool=True)
    x = follow(parts.conv(x, filters[1], 5, "conv2"), "conv2", pool=True)
    x = follow(parts.conv(x, filters[2], 3, "conv3"), "conv3")
    x = follow(parts.conv(x, filters[3], 3, "conv4"), "conv4")
    x = follow(parts.conv(x, filters[4], 3, "conv5"), "conv5", pool=True)
    x = keras.layers.Flatten(name="flatten")(x)
    x = follow(parts.dense(x, dense_units, "dense1"), "dense1")
    x = parts.dense(x, dense_units, "dense2")
    x = follow(x, "dense2", quantize=quantize_last)
    x = parts.logits(x, classes, "dense3", quantize_last)
    return keras.Model(inputs, x, name=name)
