"""MobileNetV1 and V2 in layers of M-bit inputs and N-bit kernels."""

import keras

import keras_aqe as aqe
from keras_aqe import layers, quantizers

# Filters and stride of each block's second convolution and first.
_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


def mobilenet_v1(input_bits, weight_bits):
    """MobileNetV1, its ReLU a hard tanh and a quantizer.

    The convolution of the image and the dense layer are float, as in the
    twins of `aqe.quantize_model`. At 32 and 32 bits it is the float network.

    Source: Howard et al., 2017, "MobileNets", Table 1.

    Args:
        input_bits: Width of the inputs of all other layers.
        weight_bits: Width of their kernels.
    """

    def opened(x):
        x = keras.layers.BatchNormalization()(x)
        if input_bits == 32:
            return keras.layers.ReLU(6)(x)
        x = layers.HardTanh()(x)
        return layers.QuantActivation(quantizers.of_width(input_bits))(x)

    given = {"padding": "same", "use_bias": False}
    kernel = quantizers.of_width(weight_bits)
    x = inputs = keras.Input((224, 224, 3))
    x = keras.layers.Conv2D(32, 3, 2, **given)(x)
    for filters, strides in _BLOCKS:
        x = layers.QuantDepthwiseConv2D(
            3, strides, kernel_quantizer=kernel, **given
        )(opened(x))
        x = layers.QuantConv2D(filters, 1, kernel_quantizer=kernel, **given)(
            opened(x)
        )
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(6)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(1000)(x))


def mobilenet_v2(input_bits, weight_bits, depthwise_bits=None):
    """The twin of `keras.applications`' MobileNetV2; at 32 bits itself.

    Args:
        input_bits: Width of the inputs of all layers but the first and last.
        weight_bits: Width of their kernels.
        depthwise_bits: What depthwise layers have at least, as in
            `aqe.quantize_model`.
    """
    model = keras.applications.MobileNetV2(weights=None)
    if input_bits == 32:
        return model
    return aqe.quantize_model(
        model, input_bits, weight_bits, depthwise_bits=depthwise_bits
    )
