"""`target="tflite"`: builtin operators only, on int8."""

from keras_aqe.converters.targets.builtin.emitter import emit
from keras_aqe.converters.targets.builtin.fits import float_rule
from keras_aqe.converters.targets.target import Target

TARGET = Target("tflite", emit, float_rule, takes_compact=True)
