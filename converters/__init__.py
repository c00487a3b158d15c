"""From a trained Keras model to a .tflite file."""

from keras_aqe.converters.convert import Converted, convert
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.interpreter import Interpreter
from keras_aqe.converters.report import Report, report
from keras_aqe.converters.verify import Verification, verify

__all__ = [
    "ConversionError",
    "Converted",
    "Interpreter",
    "Report",
    "Verification",
    "convert",
    "report",
    "verify",
]
