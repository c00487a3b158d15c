"""Callbacks for `model.fit`."""

from keras_aqe.alpha import find
from keras_aqe.callbacks.alpha_scheduler import AlphaScheduler
from keras_aqe.callbacks.blend_history import BlendHistory
from keras_aqe.callbacks.kernel_metrics import KernelMetrics
from keras_aqe.callbacks.when_hard import WhenHard

__all__ = [
    "AlphaScheduler",
    "BlendHistory",
    "KernelMetrics",
    "WhenHard",
    "find",
]
