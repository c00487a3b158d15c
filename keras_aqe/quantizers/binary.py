from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.quantizers.quantizer import Quantizer


@keras.saving.register_keras_serializable("keras_aqe")
class Binary(Quantizer):
    """One bit: `h(x) = sign(x)` with `sign(0) = +1`.

    Source: Chen et al., 2020, Eq. 4.

    Args:
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether training uses `sign(x - z)`, `z ~ U[-1, 1]`
            (Eq. 7) in place of `sign(x)`.
        seed: Integer seed of the stochastic form.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Example:

    ```pycon
    >>> Binary().hard([-0.2, 0.0, 3.0]).numpy()
    array([-1.,  1.,  1.], dtype=float32)

    ```
    """

    bits = 1
    unit = 1.0
    levels = np.array([-1.0, 1.0], "float32")

    def hard(self, x: Any) -> tf.Tensor:
        x = tf.convert_to_tensor(x)
        return tf.where(x >= 0, tf.ones_like(x), -tf.ones_like(x))

    def codes(self, x: Any) -> tf.Tensor:
        return tf.where(tf.convert_to_tensor(x) >= 0, 1, -1)

    def _stochastic_hard(self, x: tf.Tensor) -> tf.Tensor:
        return self.hard(x - self._uniform(x, -1.0, 1.0))
