import keras

from keras_aqe.models.network import network
from keras_aqe.models.parts import Parts
from keras_aqe.models.residual import cifar_resnet


@network((32, 32, 3), 10, smallest=4, name="resnet110")
def ResNet110(
    parts: Parts, x: keras.KerasTensor, *, depth: int = 110, filters: int = 16
) -> keras.KerasTensor:
    """ResNet-110 for CIFAR with M-bit inputs and N-bit weights.

    A 3x3 convolution, three stages of 18 residual blocks of two 3x3
    convolutions (16, 32 and 64 filters, stride 2 where they double), global
    average pooling and a dense layer: 1.73 million parameters.

    The quantizers sit inside the branches, each in front of its convolution,
    after batch normalisation and hard tanh (batch normalisation and ReLU
    where inputs are not quantized). The sums of the shortcuts are neither
    quantized nor clipped, so that low-bit branches add to a wide signal,
    whose gradient passes no quantizer (Bi-Real net, Liu et al., 2018); over
    54 blocks in a row, quantizers on that way would multiply their gradient
    factors. Where the shape changes, the shortcut takes every second pixel
    and fills new channels with zeros, without parameters. Branches of
    quantized kernels end in a power of two that brings their sum near unit
    variance; it keeps all sums exact, so that a converted network has the
    same codes.

    Source: Chen et al., 2020, Table III; He et al., 2015, "Deep residual
    learning for image recognition", Sec. 4.2 (shortcuts of option A);
    He et al., 2016, "Identity mappings in deep residual networks", Fig. 4(e),
    for the order of layers; Liu et al., 2018, "Bi-Real net".

    Args:
        depth: Number of layers, `6 n + 2` with `n` blocks in each stage.
        filters: Filters of the first stage.

    Example:

    ```pycon
    >>> model = ResNet110(input_bits=32, weight_bits=3, depth=8)
    >>> model.output_shape
    (None, 10)

    ```
    """
    return cifar_resnet(parts, x, depth, filters)
