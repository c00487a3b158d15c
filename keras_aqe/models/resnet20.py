import keras

from keras_aqe.models.network import network
from keras_aqe.models.parts import Parts
from keras_aqe.models.residual import cifar_resnet


@network((32, 32, 3), 10, smallest=4, name="resnet20")
def ResNet20(
    parts: Parts, x: keras.KerasTensor, *, filters: int = 16
) -> keras.KerasTensor:
    """ResNet-20 for CIFAR with M-bit inputs and N-bit weights.

    A 3x3 convolution, three stages of three residual blocks of two 3x3
    convolutions (16, 32 and 64 filters, stride 2 where they double), global
    average pooling and a dense layer: 0.27 million parameters. It is built as
    `ResNet110` is, and is the network that most papers on low widths compare
    on; they keep its first and last layer in float, which
    `quantize_first=False, quantize_last=False` do here.

    Source: He et al., 2015, "Deep residual learning for image recognition",
    Sec. 4.2 (shortcuts of option A); He et al., 2016, "Identity mappings in
    deep residual networks", Fig. 4(e), for the order of layers; Liu et al.,
    2018, "Bi-Real net".

    Args:
        filters: Filters of the first stage.

    Example:

    ```pycon
    >>> model = ResNet20(input_bits=2, weight_bits=2, filters=4)
    >>> model.output_shape
    (None, 10)

    ```
    """
    return cifar_resnet(parts, x, 20, filters)
