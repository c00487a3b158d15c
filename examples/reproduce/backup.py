"""Checkpoints that one worker of several, or all, can go on from."""

import keras


class Backup(keras.callbacks.BackupAndRestore):
    """Backs up after each epoch; all workers restore the chief's backup.

    Every worker has to take part in saving, but only the chief's files count:
    a worker that was killed while it saved leaves nothing half-written for
    the others to disagree about.

    Args:
        folder: Where the chief's backup is; shared by all workers.
        worker: Number of this worker; 0 is the chief.
        steps: Batches in an epoch.
    """

    def __init__(self, folder, worker, steps):
        # The previous checkpoint serves where the last is damaged, and the
        # last is kept until the run has its line of results.
        super().__init__(
            folder / f"worker{worker}",
            double_checkpoint=True,
            delete_checkpoint=False,
        )
        self.chief = keras.callbacks.BackupAndRestore(folder / "worker0")
        self.steps = steps

    def on_train_begin(self, logs=None):
        self.chief.set_model(self.model)
        self.chief.on_train_begin()
        # Weights and epoch are two files, which a kill can part. The weights
        # know the number of steps themselves.
        steps = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        self.model._initial_epoch = steps // self.steps
