"""Keras layers with quantized inputs and kernels."""

from keras_aqe.layers.activation import QuantActivation
from keras_aqe.layers.conv1d import QuantConv1D
from keras_aqe.layers.conv2d import QuantConv2D
from keras_aqe.layers.conv2d_transpose import QuantConv2DTranspose
from keras_aqe.layers.conv3d import QuantConv3D
from keras_aqe.layers.dense import QuantDense
from keras_aqe.layers.depthwise_conv2d import QuantDepthwiseConv2D
from keras_aqe.layers.hard_tanh import HardTanh
from keras_aqe.layers.separable_conv2d import QuantSeparableConv2D

__all__ = [
    "HardTanh",
    "QuantActivation",
    "QuantConv1D",
    "QuantConv2D",
    "QuantConv2DTranspose",
    "QuantConv3D",
    "QuantDense",
    "QuantDepthwiseConv2D",
    "QuantSeparableConv2D",
]
