"""Callbacks for `model.fit`."""

from keras_aqe.alpha import find
from keras_aqe.callbacks.alpha_scheduler import AlphaScheduler
from keras_aqe.callbacks.blend_histograms import BlendHistograms
from keras_aqe.callbacks.blend_history import BlendHistory
from keras_aqe.callbacks.kernel_metrics import KernelMetrics
from keras_aqe.callbacks.recalibrate import Recalibrate
from keras_aqe.callbacks.when_hard import WhenHard

__all__ = [
    "AlphaScheduler",
    "BlendHistograms",
    "BlendHistory",
    "KernelMetrics",
    "Recalibrate",
    "WhenHard",
    "find",
]
