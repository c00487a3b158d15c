"""Where a run computes: one device, or a `tf.distribute` strategy."""

import os

import tensorflow as tf


class _MultiWorker(tf.distribute.MultiWorkerMirroredStrategy):
    """Reduces what Keras 3 asks it to.

    `fit` reduces a whole `(x, y)`, of which it needs no more than the shapes,
    and scalars along their first axis; TensorFlow refuses both.
    """

    def reduce(self, reduce_op, value, axis=None):
        if isinstance(value, tuple):
            # A sum, because labels have no mean.
            return tuple(self.reduce("SUM", part) for part in value)
        if self.experimental_local_results(value)[0].shape.rank == 0:
            axis = None
        return super().reduce(reduce_op, value, axis)


def create(name):
    """Returns the strategy called `name`.

    "multiworker" reads the addresses of the workers from the environment
    variable `TF_CONFIG`; "tpu" finds the TPU of this machine or, by the
    variables that Google Cloud sets, of the network.
    """
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multiworker":
        return _MultiWorker()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.get_strategy()


def worker(strategy):
    """Returns the number of this worker; 0 is the chief, who writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_id is None:
        return 0
    return resolver.task_id


def barrier(strategy):
    """Returns when all workers have come here."""
    if strategy.num_replicas_in_sync > 1:
        ones = strategy.run(tf.ones, args=([],))
        float(strategy.reduce("SUM", ones, axis=None))


def share_cores(jobs):
    """Lets TensorFlow use one of `jobs` equal shares of the cores."""
    threads = max(1, os.cpu_count() // jobs)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
