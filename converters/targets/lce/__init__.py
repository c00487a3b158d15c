"""`target="lce"`: Larq Compute Engine operators."""

from keras_aqe.converters.targets.lce.checks import check
from keras_aqe.converters.targets.lce.emitter import emit
from keras_aqe.converters.targets.lce.engine import Larq
from keras_aqe.converters.targets.lce.fits import float_rule, refusals
from keras_aqe.converters.targets.lce.operators import PREFIX, unpack
from keras_aqe.converters.targets.target import Target

TARGET = Target(
    "lce",
    emit,
    float_rule,
    refusals=refusals,
    prefix=PREFIX,
    kernels=("LceBconv2d",),
    check=check,
    engine=Larq,
    runs_in="LCE",
    decode=unpack,
    arithmetic=lambda operator, kernel: (
        "XNOR" if operator.startswith(PREFIX) else None
    ),
)
