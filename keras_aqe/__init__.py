"""Asymptotic-Quantized Estimator networks of 1 to 3 bits for Keras."""

import pkgutil as _pkgutil

from keras_aqe import cli as _cli

if _cli.is_running():
    _cli.begin()

from keras_aqe import (  # noqa: E402
    callbacks,
    constraints,
    estimators,
    layers,
    metrics,
    models,
    plots,
    quantizers,
    recipes,
    schedules,
)
from keras_aqe.alpha import set_alpha
from keras_aqe.copy_weights import copy_weights
from keras_aqe.precision import to_float32
from keras_aqe.quantization import quantize_model
from keras_aqe.recalibrate import recalibrate
from keras_aqe.summary import summary

__all__ = [
    "callbacks",
    "check",
    "constraints",
    "copy_weights",
    "estimators",
    "layers",
    "metrics",
    "models",
    "plots",
    "quantize_model",
    "quantizers",
    "recalibrate",
    "recipes",
    "schedules",
    "set_alpha",
    "summary",
    "to_float32",
]

__version__ = "0.1.0"

# In a checkout this folder hides an installed package, and `converters` lies
# outside of it: look for subpackages in the installation too.
__path__ = _pkgutil.extend_path(__path__, __name__)


def __getattr__(name):
    if name != "check":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # It lies above training, and only it needs TensorFlow.
    from keras_aqe.converters import check

    return check
