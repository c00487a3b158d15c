"""`target="lce"`: Larq Compute Engine operators."""

from keras_aqe.converters.targets.lce.emitter import emit, float_rule
from keras_aqe.converters.targets.lce.operators import check
from keras_aqe.converters.targets.target import Target

TARGET = Target("lce", emit, float_rule, check)
