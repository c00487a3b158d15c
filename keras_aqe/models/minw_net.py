import keras

from keras_aqe.models.network import network
from keras_aqe.models.parts import Parts

# The first convolution's filters and the hidden dense units of the paper.
VARIANTS = {"A": (128, 1024), "B": (64, 1024), "C": (64, 512), "D": (64, 256)}


@network((32, 32, 3), 10, smallest=10, name="minw_net", float_ends=False)
def MINWNet(
    parts: Parts,
    x: keras.KerasTensor,
    variant: str = "A",
    *,
    filters: int | None = None,
    dense_units: int | None = None,
) -> keras.KerasTensor:
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
        filters: a, in place of the variant's.
        dense_units: F, in place of the variant's.

    Example:

    ```pycon
    >>> model = MINWNet("D", input_bits=2, weight_bits=2)
    >>> model.output_shape
    (None, 10)

    ```
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"`variant` must be one of {sorted(VARIANTS)}. "
            f"Received: variant={variant!r}"
        )
    a = VARIANTS[variant][0] if filters is None else filters
    units = VARIANTS[variant][1] if dense_units is None else dense_units

    def follow(x, name, pool=False):
        if pool:
            x = keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)
        return parts.hard_tanh(parts.norm(x, name), name)

    x = parts.image_conv(x, a, 3, "conv1", padding="valid")
    x = follow(x, "conv1")
    for index, width in enumerate([a, 2 * a, 2 * a, 4 * a, 4 * a], start=2):
        x = parts.conv(x, width, 3, f"conv{index}")
        x = follow(x, f"conv{index}", pool=index % 2 == 0)
    x = keras.layers.Flatten(name="flatten")(x)
    for name in ("dense1", "dense2"):
        x = follow(parts.dense(x, units, name), name)
    return parts.norm(parts.dense(x, parts.classes, "dense3"), "dense3")
