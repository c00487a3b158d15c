"""Quantized twins of float models."""

from keras_aqe.quantization.quantize_model import quantize_model
from keras_aqe.quantization.report import QuantizationReport

__all__ = ["QuantizationReport", "quantize_model"]
