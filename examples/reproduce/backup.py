"""Checkpoints that one worker of several, or all, can go on from."""

import time

import keras


class Backup(keras.callbacks.BackupAndRestore):
    """Backs up after each epoch; all workers restore the chief's backup.

    Every worker has to take part in saving, but only the chief's files count:
    a worker that was killed while it saved leaves nothing half-written for
    the others to disagree about.

    Args:
        folder: Where the chief's backup is; shared by all workers.
        worker: Number of this worker; 0 is the chief.
    """

    def __init__(self, folder, worker):
        # The previous checkpoint serves where the last is damaged, and the
        # last is kept until the run has its line of results.
        super().__init__(
            folder / f"worker{worker}",
            double_checkpoint=True,
            delete_checkpoint=False,
        )
        self.chief = keras.callbacks.BackupAndRestore(folder / "worker0")

    def restore(self, model):
        """Restores the model and returns the number of its steps.

        To be called before `fit`, whose data depend on the steps.
        """
        self.chief.set_model(model)
        self.chief.on_train_begin()
        # Weights and epoch are two files, which a kill can part: the epoch is
        # not relied upon, since the weights have the number of steps.
        model._initial_epoch = None
        return int(keras.ops.convert_to_numpy(model.optimizer.iterations))

    def on_train_begin(self, logs=None):
        pass  # Restored already.


class Deadline(keras.callbacks.Callback):
    """Stops after the epoch in which the time is up.

    Args:
        deadline: By `time.monotonic()`.
    """

    def __init__(self, deadline):
        super().__init__()
        self.deadline = deadline
        self.stopped = False

    def on_epoch_end(self, epoch, logs=None):
        if time.monotonic() >= self.deadline:
            self.stopped = self.model.stop_training = True
