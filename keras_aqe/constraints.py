"""Constraints on latent weights."""

from typing import Any

import keras

from keras_aqe.backend import Tensor

__all__ = ["WeightClip"]


@keras.saving.register_keras_serializable("keras_aqe")
class WeightClip(keras.constraints.Constraint):
    """Clips latent weights after every update: `max(-limit, min(limit, W))`.

    The gradient of a quantizer is zero outside [-1, 1], so that a weight that
    left this range would never come back (Courbariaux et al., 2016;
    Chen et al., 2020).

    Args:
        limit: Positive float, the largest magnitude allowed.

    Raises:
        ValueError: If `limit` is not above 0.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(WeightClip(1.0)([-3.0, 0.5]))
    array([-1. ,  0.5], dtype=float32)

    ```
    """

    def __init__(self, limit: float = 1.0) -> None:
        if limit <= 0:
            raise ValueError(
                f"`limit` must be greater than 0. Received: limit={limit}"
            )
        self.limit = limit

    def __call__(self, w: Any) -> Tensor:
        w = keras.ops.convert_to_tensor(w)
        return keras.ops.clip(w, -self.limit, self.limit)

    def get_config(self) -> dict[str, Any]:
        return {"limit": self.limit}
