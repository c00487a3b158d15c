"""`target="packed"`: operators of docs/format.md, N bits a weight."""

from keras_aqe.converters.targets.packed.emitter import emit
from keras_aqe.converters.targets.packed.engine import engine
from keras_aqe.converters.targets.packed.fits import float_rule
from keras_aqe.converters.targets.packed.operators import PREFIX
from keras_aqe.converters.targets.packed.packing import unpack
from keras_aqe.converters.targets.target import Target

TARGET = Target(
    "packed",
    emit,
    float_rule,
    prefix=PREFIX,
    kernels=("AqeConv2D", "AqeDepthwiseConv2D", "AqeFullyConnected"),
    engine=engine,
    decode=unpack,
)
