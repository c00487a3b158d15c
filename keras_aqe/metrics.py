"""Metrics of how quantized kernels train.

They look at a model's kernels and not at its outputs, so they are not for
`model.compile`: `keras_aqe.callbacks.KernelMetrics` updates them in
`model.fit` and logs their results.
"""

from typing import Any

import keras
import numpy as np

from keras_aqe.backend import Tensor
from keras_aqe.layers.quantized import Quantized
from keras_aqe.quantizers import Quantizer

__all__ = ["FlipRatio", "QuantizationGap"]


@keras.saving.register_keras_serializable("keras_aqe")
class FlipRatio(keras.metrics.Metric):
    """Share of the kernels' codes that changed between two updates.

    `sum_t |{i: codes_t[i] != codes_(t-1)[i]}| / sum_t |codes_t|`, over the
    updates since `reset_state`. The first update of all only remembers the
    codes. A ratio that stays high says that weights oscillate around their
    thresholds (a high learning rate), one of 0 that training has stopped.

    Source: Helwegen et al., 2019, "Latent weights do not exist".

    Args:
        name: Name of the metric.
        dtype: Dtype of its result.

    Call arguments:
        model: The model, whose quantized kernels are read, those of nested
            models too.

    Example:

    ```pycon
    >>> layer = aqe.layers.QuantDense(2, kernel_quantizer="binary")
    >>> model = keras.Sequential([keras.Input((2,)), layer])
    >>> _ = layer.kernel.assign([[0.1, 0.2], [0.3, 0.4]])
    >>> metric = FlipRatio()
    >>> metric.update_state(model)
    >>> _ = layer.kernel.assign([[0.1, 0.2], [0.3, -0.4]])
    >>> metric.update_state(model)
    >>> float(metric.result())
    0.25

    ```
    """

    def __init__(self, name: str = "flip_ratio", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self._changed = self._sum("changed")
        self._compared = self._sum("compared")
        self._codes: list[np.ndarray] | None = None

    def _sum(self, name):
        return self.add_variable((), initializer="zeros", name=name)

    def update_state(self, model: keras.Model) -> None:
        """Counts the codes that changed since the update before.

        Args:
            model: The model.

        Raises:
            ValueError: If it has no quantized kernel.
        """
        codes = [
            keras.ops.convert_to_numpy(
                quantizer.codes(keras.ops.convert_to_tensor(kernel))
            )
            for kernel, quantizer in quantized_kernels(model)
        ]
        if self._codes is not None:
            for now, before in zip(codes, self._codes, strict=True):
                self._changed.assign_add(float((now != before).sum()))
                self._compared.assign_add(float(now.size))
        self._codes = codes

    def result(self) -> Tensor:
        """The share, a scalar in [0, 1]; 0 before the second update."""
        return keras.ops.divide_no_nan(self._changed, self._compared)


@keras.saving.register_keras_serializable("keras_aqe")
class QuantizationGap(keras.metrics.Mean):
    """Mean distance of the kernels in training from the hard ones.

    `mean |h_hat(W) - h(W)|` over all weights of all quantized kernels, where
    `h_hat` is what training uses: for AQE the blend, so that the gap is
    `(1 - alpha) * mean |W - h(W)|` and closes as alpha tends to 1; for STE it
    is 0 throughout.

    Source: Chen et al., 2020, Theorem 3.

    Args:
        name: Name of the metric.
        dtype: Dtype of its result.

    Call arguments:
        model: The model, whose quantized kernels are read, those of nested
            models too.

    Example:

    ```pycon
    >>> layer = aqe.layers.QuantDense(2, kernel_quantizer="binary")
    >>> model = keras.Sequential([keras.Input((1,)), layer])
    >>> _ = layer.kernel.assign([[0.5, -0.5]])
    >>> metric = QuantizationGap()
    >>> metric.update_state(model)
    >>> float(metric.result())
    0.25

    ```
    """

    def __init__(
        self, name: str = "quantization_gap", dtype: Any = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, model: keras.Model) -> None:
        """Adds the distances of a model's kernels as they are now.

        Args:
            model: The model.

        Raises:
            ValueError: If it has no quantized kernel.
        """
        for kernel, quantizer in quantized_kernels(model):
            kernel = keras.ops.convert_to_tensor(kernel)
            gap = quantizer.blend(kernel) - quantizer.hard(kernel)
            # Flat, since `Mean` weighs rows and not elements.
            super().update_state(keras.ops.ravel(keras.ops.abs(gap)))


def quantized_kernels(
    model: keras.Model,
) -> list[tuple[keras.Variable, Quantizer]]:
    """Returns (latent kernel, quantizer) of all quantized kernels of a model.

    Raises:
        ValueError: If there are none.
    """
    kernels = [
        (getattr(layer, name), layer.kernel_quantizer)
        for layer in model._flatten_layers()
        if isinstance(layer, Quantized) and layer.kernel_quantizer is not None
        for name in layer.kernel_constraints
    ]
    if not kernels:
        raise ValueError(
            f"Model {model.name!r} has no quantized kernel to measure. Give "
            "its layers a `kernel_quantizer`, or leave the metric out."
        )
    return kernels
