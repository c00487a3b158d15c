import dataclasses

import keras
import numpy as np

from keras_aqe.converters.interpreter import Interpreter


@dataclasses.dataclass(frozen=True)
class Verification:
    """How a converted file compares with its model; prints as text.

    Args:
        examples: Number of inputs compared.
        label_agreement: Share of equal labels (`argmax` of the last axis), 1
            is all.
        max_relative_error: Largest difference of any output, relative to the
            largest output of the model.
    """

    examples: int
    label_agreement: float
    max_relative_error: float

    @property
    def labels_equal(self):
        """Whether all labels are equal."""
        return self.label_agreement == 1.0

    def __str__(self):
        return (
            f"{self.examples} examples: {100 * self.label_agreement:.2f} % of "
            "labels equal, largest difference of logits "
            f"{self.max_relative_error:.1e} relative"
        )


def verify(model, converted, x):
    """Runs a model and its converted file on the same inputs.

    Args:
        model: The Keras model, run with `training=False`.
        converted: What `convert` returned for it.
        x: A batch of inputs, or a list of one for each input.

    Returns:
        A `Verification`; of several outputs, the worst.

    Example:

    ```python
    assert verify(model, converted, x_test).labels_equal
    ```
    """
    expected = keras.tree.flatten(model.predict(x, verbose=0))
    received = keras.tree.flatten(Interpreter(converted.flatbuffer).predict(x))
    agreement, error = 1.0, 0.0
    for ours, theirs in zip(expected, received):
        same = ours.argmax(axis=-1) == theirs.argmax(axis=-1)
        agreement = min(agreement, float(same.mean()))
        scale = max(float(np.abs(ours).max()), np.finfo("float32").tiny)
        error = max(error, float(np.abs(ours - theirs).max()) / scale)
    return Verification(len(expected[0]), agreement, error)
