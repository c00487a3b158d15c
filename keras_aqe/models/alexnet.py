import keras

from keras_aqe.models.network import network
from keras_aqe.models.parts import Parts


@network((224, 224, 3), 1000, smallest=57, name="alexnet")
def AlexNet(
    parts: Parts,
    x: keras.KerasTensor,
    *,
    filters: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256),
    dense_units: int = 4096,
) -> keras.KerasTensor:
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
        filters: Filters of the five convolutions.
        dense_units: Units of the two hidden dense layers.

    Example:

    ```pycon
    >>> model = AlexNet(input_bits=2, weight_bits=1, input_shape=(64, 64, 3),
    ...                 filters=(4, 8, 8, 8, 8), dense_units=16)
    >>> model.output_shape
    (None, 1000)

    ```
    """
    if len(filters) != 5:
        raise ValueError(
            "`filters` must be five numbers, one a convolution. "
            f"Received: filters={filters}"
        )

    def follow(x, name, pool=False, quantize=True):
        if pool:
            x = keras.layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x)
        return parts.activation(parts.norm(x, name), name, quantize)

    x = parts.image_conv(x, filters[0], 11, "conv1", strides=4)
    x = follow(x, "conv1", pool=True)
    x = follow(parts.conv(x, filters[1], 5, "conv2"), "conv2", pool=True)
    x = follow(parts.conv(x, filters[2], 3, "conv3"), "conv3")
    x = follow(parts.conv(x, filters[3], 3, "conv4"), "conv4")
    x = follow(parts.conv(x, filters[4], 3, "conv5"), "conv5", pool=True)
    x = keras.layers.Flatten(name="flatten")(x)
    x = follow(parts.dense(x, dense_units, "dense1"), "dense1")
    x = parts.dense(x, dense_units, "dense2")
    x = follow(x, "dense2", quantize=parts.quantize_last)
    return parts.logits(x, "dense3")
