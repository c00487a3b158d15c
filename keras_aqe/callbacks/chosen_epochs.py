import warnings
from typing import Any

import keras

from keras_aqe.callbacks.logs import Logs
from keras_aqe.callbacks.when_hard import WhenHard
from keras_aqe.quantizers import Quantizer

_ADVICE = (
    "Wrap it in `keras_aqe.callbacks.WhenHard`, which lets it choose among "
    "hard epochs only."
)


class ChosenEpochs(keras.callbacks.Callback):
    """Says so at the end of `fit` where a soft epoch was kept.

    It puts itself behind all other callbacks, since `EarlyStopping` restores
    weights when its turn comes.

    Args:
        quantizers: The model's quantizers.
        callbacks: The `CallbackList` of the call of `fit`, if it is known.
    """

    def __init__(
        self,
        quantizers: list[Quantizer],
        callbacks: keras.callbacks.CallbackList | None,
    ) -> None:
        super().__init__()
        self._quantizers = quantizers
        self._callbacks = callbacks
        # The best value of each and the alpha of its epoch, if it was soft.
        self._checkpoints: dict[Any, tuple[Any, float | None]] = {
            callback: (callback.best, None)
            for callback in _flattened(callbacks)
            if isinstance(callback, keras.callbacks.ModelCheckpoint)
            and callback.save_best_only
        }
        if callbacks is not None:
            callbacks.callbacks.append(self)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._look()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._look()

    def on_train_end(self, logs: Logs = None) -> None:
        if self._callbacks is not None:
            self._callbacks.callbacks.remove(self)
        trained = self._trained_alpha()
        if trained is not None:
            warnings.warn(
                f"Training ended at alpha = {trained:.3f}: the network is "
                "still soft, far worse in `evaluate` than in training, and "
                "`convert` refuses it. To go on, call `fit` with an "
                "`AlphaScheduler` again, which takes alpha from there to 1; "
                "or call `keras_aqe.recalibrate`. If a callback chose this "
                f"epoch: {_ADVICE}",
                stacklevel=2,
            )
        for checkpoint, (_, trained) in self._checkpoints.items():
            if trained is not None:
                warnings.warn(
                    f"`ModelCheckpoint` of {str(checkpoint.filepath)!r} kept "
                    f"an epoch of alpha = {trained:.3f} as the best: that "
                    "network is still soft, and `convert` refuses it. "
                    f"{_ADVICE}",
                    stacklevel=2,
                )

    def _look(self):
        for checkpoint, (best, _) in self._checkpoints.items():
            if checkpoint.best != best:
                found = checkpoint.best, self._trained_alpha()
                self._checkpoints[checkpoint] = found

    def _trained_alpha(self):
        """The lowest alpha of a soft quantizer, `None` if all are hard."""
        return min(
            (
                float(keras.ops.convert_to_numpy(quantizer.trained_alpha))
                for quantizer in self._quantizers
                if quantizer.is_soft
            ),
            default=None,
        )


def _flattened(callbacks):
    """All callbacks but those that only see hard epochs."""
    for callback in () if callbacks is None else callbacks.callbacks:
        if not isinstance(callback, keras.callbacks.CallbackList):
            yield callback
        elif not isinstance(callback, WhenHard):
            yield from _flattened(callback)
