"""From a trained Keras model to a .tflite file."""

import importlib.util

import keras_aqe
import keras_aqe_runtime
from keras_aqe_runtime import ConversionError

if keras_aqe_runtime.__version__ != keras_aqe.__version__:
    raise ImportError(
        f"keras-aqe {keras_aqe.__version__} needs keras-aqe-runtime of the "
        f"same version, but {keras_aqe_runtime.__version__} is installed: "
        f"`pip install keras-aqe-runtime=={keras_aqe.__version__}`."
    )

if importlib.util.find_spec("tensorflow"):
    from keras_aqe.converters.check import Check, Fault, check
    from keras_aqe.converters.convert import Converted, convert
    from keras_aqe.converters.interpreter import Interpreter
    from keras_aqe.converters.report import Report, report
    from keras_aqe.converters.verify import Verification, verify
else:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"{__name__!r} has no {name!r}")
        raise ConversionError(
            f"`keras_aqe.converters.{name}` needs TensorFlow, which is not "
            "installed: `pip install tensorflow`. Keras may run on another "
            "backend."
        )


__all__ = [
    "Check",
    "ConversionError",
    "Converted",
    "Fault",
    "Interpreter",
    "Report",
    "Verification",
    "check",
    "convert",
    "report",
    "verify",
]
