import keras

from keras_aqe import layers, quantizers

# The first convolution's filters and the hidden dense units of the paper.
VARIANTS = {"A": (128, 1024), "B": (64, 1024), "C": (64, 512), "D": (64, 256)}


def MINWNet(
    variant="A",
    input_bits=1,
    weight_bits=1,
    input_shape=(32, 32, 3),
    classes=10,
    filters=None,
    dense_units=None,
    estimator="aqe",
    stochastic=False,
    pad_value=0.0,
    name="minw_net",
):
    """MINW-Net: a network with M-bit inputs and N-bit weights.

    Six 3x3 convolutions of a, a, 2a, 2a, 4a, 4a filters (the first 'valid',
    the rest 'same', 2x2 max pooling after every second) and dense layers of
    F, F and `classes` units. Each is followed by batch normalisation, hard
    tanh and the quantizer of the next layer's input; the first layer sees the
    image as it is, and the last layer's output is the logits after batch
    normalisation. All kernels are quantized, first and last included.

    Source: Chen et al., 2020, Sec. IV and Table I; the network is the ConvNet
    of Courbariaux et al., 2016.

    Args:
        variant: `"A"` (a = 128, F = 1024), `"B"` (64, 1024), `"C"` (64, 512)
            or `"D"` (64, 256).
        input_bits: Width M of the layers' inputs: 1, 2, 3, 4, 8, 16 or 32
            (no quantizer).
        weight_bits: Width N of the kernels: 1, 2, 3, 4, 16 or 32
            (no quantizer).
        input_shape: `(height, width, channels)`; height and width of at least
            10.
        classes: Number of logits.
        filters: a, in place of the variant's.
        dense_units: F, in place of the variant's.
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether the quantizers train in their stochastic form.
        pad_value: What the 'same' padding of convolutions fills in. 0 is
            Keras's; +1 keeps 1-bit inputs at one bit, which Larq Compute
            Engine runs faster.
        name: Name of the model.

    Returns:
        A `keras.Model` from images to logits, not compiled.

    Raises:
        ValueError: If a width, the variant or the input shape is not one of
            the above.

    Example:

    >>> model = MINWNet("D", input_bits=2, weight_bits=2)
    >>> model.output_shape
    (None, 10)
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {sorted(VARIANTS)}. "
            f"Received: variant={variant!r}"
        )
    if weight_bits == 8:
        raise ValueError(
            "`weight_bits` must be 1, 2, 3, 4, 16 or 32: 8-bit fixed point "
            "covers [-1, 1) evenly, too coarse for kernels around 0.02. "
            "Received: weight_bits=8"
        )
    if len(input_shape) != 3 or min(input_shape[:2]) < 10:
        raise ValueError(
            "`input_shape` must be (height, width, channels) with height and "
            f"width of at least 10. Received: input_shape={input_shape}"
        )
    a = VARIANTS[variant][0] if filters is None else filters
    units = VARIANTS[variant][1] if dense_units is None else dense_units

    def quantizer(bits):
        # Half precision has no stochastic form.
        return quantizers.of_width(
            bits, estimator=estimator, stochastic=stochastic and bits < 16
        )

    def block(x, layer, pool, last, name):
        x = layer(x)
        if pool:
            x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        if last:
            return x
        x = layers.HardTanh(name=f"{name}_hard_tanh")(x)
        if input_bits == 32:
            return x
        return layers.QuantActivation(
            quantizer(input_bits), name=f"{name}_quant"
        )(x)

    x = inputs = keras.Input(input_shape, name="image")
    for index, width in enumerate([a, a, 2 * a, 2 * a, 4 * a, 4 * a]):
        name_ = f"conv{index + 1}"
        conv = layers.QuantConv2D(
            width,
            3,
            padding="same" if index else "valid",
            pad_value=pad_value if index else 0.0,
            use_bias=False,
            kernel_quantizer=quantizer(weight_bits),
            name=name_,
        )
        x = block(x, conv, pool=index % 2 == 1, last=False, name=name_)
    x = keras.layers.Flatten(name="flatten")(x)
    for index, width in enumerate([units, units, classes]):
        name_ = f"dense{index + 1}"
        dense = layers.QuantDense(
            width,
            use_bias=False,
            kernel_quantizer=quantizer(weight_bits),
            name=name_,
        )
        x = block(x, dense, pool=False, last=index == 2, name=name_)
    return keras.Model(inputs, x, name=name)
