import keras

from keras_aqe.models.network import network
from keras_aqe.models.parts import Parts
from keras_aqe.models.residual import residual_block

_BLOCKS = 8


@network((224, 224, 3), 1000, smallest=32, name="resnet18")
def ResNet18(
    parts: Parts,
    x: keras.KerasTensor,
    *,
    quantize_shortcut: bool = True,
    filters: int = 64,
) -> keras.KerasTensor:
    """ResNet-18 for ImageNet with M-bit inputs and N-bit weights.

    A 7x7 convolution and 3x3 max pooling, both with stride 2, four stages of
    two residual blocks of two 3x3 convolutions (`filters` of them, doubled
    with each stage), global average pooling and a dense layer: 11.69 million
    parameters.

    The quantizers sit inside the branches, each in front of its convolution,
    after batch normalisation and hard tanh (batch normalisation and ReLU
    where inputs are not quantized). The sums of the shortcuts are neither
    quantized nor clipped, so that low-bit branches add to a wide signal,
    whose gradient passes no quantizer. The 1x1 convolutions of the three
    shortcuts that change shape are quantized like all others; with
    `quantize_shortcut=False` they are float convolutions of the wide sum, as
    in Bi-Real net (Liu et al., 2018). Convolutions that are added up end in a
    power of two that brings their sum near unit variance; it keeps all sums
    exact, so that a converted network has the same codes.

    Source: Chen et al., 2020, Table V; He et al., 2015, "Deep residual
    learning for image recognition", Table 1; He et al., 2016, "Identity
    mappings in deep residual networks", Fig. 4(e), for the order of layers;
    Liu et al., 2018, "Bi-Real net".

    Args:
        quantize_shortcut: Whether the 1x1 convolutions of shortcuts have
            quantized inputs and kernels.
        filters: Filters of the first stage.

    Example:

    ```pycon
    >>> model = ResNet18(input_bits=2, weight_bits=2,
    ...                  input_shape=(32, 32, 3), filters=4)
    >>> model.output_shape
    (None, 1000)

    ```
    """

    def projection(filters, strides, name):
        def shortcut(x, quantized):
            if quantize_shortcut:
                x = parts.conv(quantized, filters, 1, name, strides)
                return parts.rescaled(x, quantized.shape[-1], name)
            return keras.layers.Conv2D(
                filters, 1, strides, use_bias=False, name=name
            )(x)

        return shortcut

    products = 49 * x.shape[-1]
    x = parts.image_conv(x, filters, 7, "conv1", strides=2)
    if parts.quantize_first:
        x = parts.rescaled(x, products, "conv1")
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="conv1_pool")(x)
    for stage in range(4):
        for block in range(2):
            name = f"stage{stage + 1}_block{block + 1}"
            width = filters * 2**stage
            shrinks = stage > 0 and block == 0
            strides = 2 if shrinks else 1
            x = residual_block(
                parts,
                x,
                width,
                name,
                _BLOCKS,
                strides=strides,
                shortcut=projection(width, strides, f"{name}_shortcut")
                if shrinks
                else None,
            )
    x = parts.activation(parts.norm(x, "last"), "last", quantize=False)
    return parts.pooled_logits(x)
