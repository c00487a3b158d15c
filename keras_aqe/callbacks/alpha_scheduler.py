import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_aqe import backend, schedules
from keras_aqe.alpha import find
from keras_aqe.callbacks.chosen_epochs import ChosenEpochs
from keras_aqe.callbacks.hard_statistics import HardStatistics
from keras_aqe.callbacks.logs import Logs
from keras_aqe.callbacks.order import calling_list, move_to_front


class AlphaScheduler(keras.callbacks.Callback):
    """Sets the `alpha` of all quantizers of the model before each batch.

    Progress is `batch / total_steps`, where `batch` counts those of the whole
    run, whatever the optimizer makes of them (gradient accumulation, a loss
    scale that skips steps). With `steps_per_execution`, alpha is constant
    within an execution: that of its last batch. It is written into the logs
    as `alpha`, before any other callback looks at them.

    A run that is resumed, by `initial_epoch` or
    `keras.callbacks.BackupAndRestore`, goes on where it was. Where the model
    was trained at another alpha than this call would begin with (a loaded
    model, a second call of `fit`), alpha goes on from there and takes what is
    left of the schedule over the steps of this call, with a warning: alpha
    neither jumps nor falls. At the end of a call another warning says where
    alpha is still below 1, or another callback kept an epoch below 1: by
    `EarlyStopping(restore_best_weights=True)` or
    `ModelCheckpoint(save_best_only=True)` outside of `WhenHard`.

    Once alpha is 1, batch normalisation's moving statistics are freed from
    what they saw of blended values, before each validation and the end of
    each epoch: those of networks that `fit` trains by Keras's own
    `train_step`.

    Args:
        schedule: A `keras_aqe.schedules.Schedule` or any callable from
            progress in [0, 1] to alpha in (0, 1]. `None` means
            `Linear(0.1, 1.0, until=0.85)`, which measured best in runs of
            about ten epochs; for a hundred `until=0.45` may be better.
        total_steps: Batches at which progress is 1, counted over all calls to
            `fit` with the same optimizer. `None` means
            `epochs * steps per epoch` of this call.
        restart: Whether a trained model begins at the schedule's first alpha
            all the same.

    Raises:
        ValueError: If the model has no quantizer, if the number of steps is
            not known (an endless dataset), or if the schedule leaves (0, 1].

    Example:

    ```python
    model.fit(x, y, epochs=10, callbacks=[aqe.callbacks.AlphaScheduler()])
    ```
    """

    def __init__(
        self,
        schedule: Callable[[float], float] | None = None,
        total_steps: int | None = None,
        restart: bool = False,
    ) -> None:
        super().__init__()
        if schedule is None:
            schedule = schedules.Linear(start=0.1)
        self.schedule = schedule
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
        self.restart = restart
        self._alpha: float
        # Batches that were done when the run began, once that is known.
        self._offset: Any = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._quantizers = find(self.model)
        if not self._quantizers:
            raise ValueError(
                f"Model {self.model.name!r} has no quantizer whose alpha "
                "`AlphaScheduler` could set. Leave the callback out, or give "
                "the layers quantizers."
            )
        if self.total_steps is None and self.params.get("steps") is None:
            raise ValueError(
                "The number of steps per epoch is not known, so neither is "
                "the progress. Pass `total_steps=` to `AlphaScheduler` or "
                "`steps_per_epoch=` to `fit`."
            )
        self._offset = None
        self._callbacks = calling_list(self)
        move_to_front(self, self._callbacks)
        self._chosen = ChosenEpochs(self._quantizers, self._callbacks)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        # Not before, since other callbacks restore backups at train begin.
        if self._offset is None:
            self._begin(epoch)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self._batches = self._steps_per_execution
        if self.params.get("steps") is not None:
            left = self.params["steps"] - batch
            self._batches = min(self._batches, left)
            self._ends_epoch = self._batches == left
        before = self._alpha
        self._alpha = self._alpha_of(self._done + self._batches - 1)
        if self._alpha < 1:
            self._statistics = None
        elif before < 1 and self._is_soft():
            self._statistics = HardStatistics(self.model)
        self._set_alpha(self._alpha)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._done += self._batches
        if self._statistics:
            self._statistics.count(self._batches)
            if self._ends_epoch:
                self._statistics.settle()

    def on_test_begin(self, logs: Logs = None) -> None:
        self._settle()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._settle()
        if logs is not None:
            logs["alpha"] = self._alpha

    def on_train_end(self, logs: Logs = None) -> None:
        if self._callbacks is None:
            self._chosen.on_train_end(logs)

    def _begin(self, epoch):
        """Finds where the run is: `_offset` of `_total` batches are done."""
        self._done, self._statistics, self._ends_epoch = 0, None, False
        self._steps_per_execution = self.model.steps_per_execution
        self._set_alpha = backend.setter(
            self.model, [quantizer.alpha for quantizer in self._quantizers]
        )
        self._alpha = trained = self._trained_alpha()
        steps = self.params.get("steps")
        if self.total_steps is None:
            done = steps * epoch
            left = steps * (self.params["epochs"] - epoch)
        else:
            done = max((steps or 0) * epoch, _batches_of(self.model))
            done = 0 if self.restart else done
            left = self.total_steps - done
        self._offset = 0 if self.restart else done
        self._total = self._offset + left
        if self.restart or trained == 0:
            return
        before, now = self._alpha_of(-1), self._alpha_of(0)
        # Alpha is a float32.
        if min(before, now) - 1e-6 <= trained <= max(before, now) + 1e-6:
            return
        reached = self._progress_at(trained)
        if reached is None:
            warnings.warn(
                f"The model was trained at alpha = {trained:.3f}, which the "
                f"schedule never reaches: alpha falls to {now:.3f}.",
                stacklevel=2,
            )
            return
        if self.total_steps is None and reached < 1:
            self._total = left / (1 - reached)
        self._offset = reached * self._total
        goes_on = self._alpha_of(0)
        if goes_on != now:
            warnings.warn(
                f"The model was trained at alpha = {trained:.3f}, where this "
                f"call of `fit` would begin at {now:.3f}. Alpha goes on at "
                f"{goes_on:.3f} and takes the rest of the schedule over the "
                "steps that are left. Pass `initial_epoch=` to `fit` to "
                "resume a run at its epoch, or `restart=True` to "
                "`AlphaScheduler` to begin again.",
                stacklevel=2,
            )

    def _is_soft(self) -> bool:
        backend.sync(self._model)
        return any(quantizer.is_soft for quantizer in self._quantizers)

    def _trained_alpha(self) -> float:
        """The lowest alpha that a quantizer was trained at last."""
        return min(
            float(keras.ops.convert_to_numpy(quantizer.trained_alpha))
            for quantizer in self._quantizers
        )

    def _alpha_of(self, step: float) -> float:
        """Alpha of a batch of this call; -1 is the one before the first."""
        progress = (self._offset + step) / self._total
        progress = min(max(progress, 0.0), 1.0)
        return schedules.check_alpha(self.schedule(progress), "alpha")

    def _progress_at(self, alpha):
        """The least progress with at least that alpha; `None` if none has."""
        for progress in np.linspace(0, 1, 10001):
            if self.schedule(progress) >= alpha - 1e-6:
                return progress
        return None

    def _settle(self):
        if self._statistics:
            self._statistics.settle()


def _batches_of(model):
    """The batches that the model's optimizer has seen."""
    optimizer = getattr(model, "optimizer", None)
    # A loss scale wraps the optimizer that counts.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None:
        return 0
    # int() of a variable fails where a strategy mirrors it.
    updates = int(keras.ops.convert_to_numpy(optimizer.iterations))
    return updates * (optimizer.gradient_accumulation_steps or 1)
