"""`target="packed"`: operators of docs/format.md, N bits a weight."""

from keras_aqe.converters.targets.packed.emitter import emit
from keras_aqe.converters.targets.packed.fits import float_rule, refusals
from keras_aqe.converters.targets.packed.operators import PREFIX, arithmetic
from keras_aqe.converters.targets.packed.packing import unpack
from keras_aqe.converters.targets.target import Target
from keras_aqe_runtime.engines import Packed

TARGET = Target(
    "packed",
    emit,
    float_rule,
    refusals=refusals,
    prefix=PREFIX,
    kernels=("AqeConv2D", "AqeDepthwiseConv2D", "AqeFullyConnected"),
    engine=Packed,
    decode=unpack,
    arithmetic=arithmetic,
)
