import keras

from keras_aqe.models.parts import Parts, check_input_shape

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
    check_input_shape(input_shape, 10)
    parts = Parts(input_bits, weight_bits, estimator, stochastic, pad_value)
    a = VARIANTS[variant][0] if filters is None else filters
    units = VARIANTS[variant][1] if dense_units is None else dense_units

    def follow(x, name, pool=False):
        if pool:
            x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        return parts.hard_tanh(parts.norm(x, name), name)

    inputs = keras.Input(input_shape, name="image")
    x = parts.image_conv(inputs, a, 3, "conv1", padding="valid")
    x = follow(x, "conv1")
    for index, width in enumerate([a, 2 * a, 2 * a, 4 * a, 4 * a], start=2):
        x = parts.conv(x, width, 3, f"conv{index}")
        x = follow(x, f"conv{index}", pool=index % 2 == 0)
    x = keras.layers.Flatten(name="flatten")(x)
    for name_ in ("dense1", "dense2"):
        x = follow(parts.dense(x, units, name_), name_)
    x = parts.norm(parts.dense(x, classes, "dense3"), "dense3")
    return keras.Model(inputs, x, name=name)
