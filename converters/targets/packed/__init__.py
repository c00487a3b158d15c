"""`target="packed"`: operators of docs/format.md, N bits a weight."""

from keras_aqe.converters.targets.packed import fits
from keras_aqe.converters.targets.packed.emitter import emit
from keras_aqe.converters.targets.target import Target

TARGET = Target(
    "packed",
    emit,
    fits.float_rule,
    prefix="Aqe",
    kernels=("AqeConv2D", "AqeDepthwiseConv2D", "AqeFullyConnected"),
)
