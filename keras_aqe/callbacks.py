"""Callbacks for `model.fit`."""

import keras

from keras_aqe import schedules
from keras_aqe.quantizers import Quantizer


class AlphaScheduler(keras.callbacks.Callback):
    """Sets the `alpha` of all quantizers of the model before each batch.

    Progress is `optimizer.iterations / total_steps`, so a run that resumes
    from a checkpoint goes on where it was, and `steps_per_execution` does not
    stretch the schedule (alpha is then constant within one execution). Alpha
    is written into the logs as `alpha`.

    Args:
        schedule: A `keras_aqe.schedules.Schedule` or any callable from
            progress in [0, 1] to alpha in (0, 1]. `None` means
            `Linear(0.5, 1.0, until=0.85)`.
        total_steps: Optimizer steps at which progress is 1. `None` means
            `epochs * steps per epoch` of the call to `fit`.

    Raises:
        ValueError: If the model has no quantizer, if the number of steps is
            not known (an endless dataset), or if the schedule leaves (0, 1].

    Example:

    ```python
    model.fit(x, y, epochs=10, callbacks=[aqe.callbacks.AlphaScheduler()])
    ```
    """

    def __init__(self, schedule=None, total_steps=None):
        super().__init__()
        self.schedule = schedules.Linear() if schedule is None else schedule
        if not callable(self.schedule):
            raise ValueError(
                "`schedule` must be a callable from progress in [0, 1] to "
                f"alpha in (0, 1]. Received: schedule={schedule!r}"
            )
        if total_steps is not None and total_steps < 1:
            raise ValueError(
                "`total_steps` must be at least 1. "
                f"Received: total_steps={total_steps}"
            )
        self.total_steps = total_steps

    def on_train_begin(self, logs=None):
        self._alphas = [quantizer.alpha for quantizer in find(self.model)]
        if not self._alphas:
            raise ValueError(
                f"Model {self.model.name!r} has no quantizer whose alpha "
                "`AlphaScheduler` could set. Leave the callback out, or give "
                "the layers quantizers."
            )
        self._steps = self.total_steps
        if self._steps is None and self.params.get("steps") is not None:
            self._steps = self.params["epochs"] * self.params["steps"]
        self._update()

    def on_train_batch_begin(self, batch, logs=None):
        self._update()

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["alpha"] = self._alpha

    def _update(self):
        if self._steps is None:
            raise ValueError(
                "The number of steps per epoch is not known, so neither is "
                "the progress. Pass `total_steps=` to `AlphaScheduler` or "
                "`steps_per_epoch=` to `fit`."
            )
        # int() of a variable fails where a strategy mirrors it.
        done = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        progress = min(done / self._steps, 1.0)
        self._alpha = schedules.check_alpha(self.schedule(progress), "alpha")
        for alpha in self._alphas:
            alpha.assign(self._alpha)


def find(model):
    """Returns all quantizers of a model, those of nested models too."""
    # _flatten_layers is the only way that Keras has to see sublayers.
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, Quantizer)
    ]
