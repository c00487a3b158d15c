"""`target="lce"`: Larq Compute Engine operators."""

from keras_aqe.converters.targets.lce.emitter import emit
from keras_aqe.converters.targets.lce.fits import float_rule
from keras_aqe.converters.targets.lce.operators import check
from keras_aqe.converters.targets.target import Target

TARGET = Target(
    "lce",
    emit,
    float_rule,
    prefix="Lce",
    kernels=("LceBconv2d",),
    check=check,
)
