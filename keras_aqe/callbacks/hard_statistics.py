import collections
import itertools

import keras
import numpy as np

from keras_aqe import backend


class HardStatistics:
    """Frees batch normalisation from what it saw before alpha was 1.

    A moving average that starts at `s_0` is, after `n` batches' values `b_i`,

        s_n = m^n s_0 + (1 - m) sum_i m^(n - i) b_i

    with the momentum `m`, so that `(s_n - m^n s_0) / (1 - m^n)` is the average
    of those batches alone. It is the correction of Adam (Kingma and Ba, 2015,
    Sec. 3) with blended statistics in place of 0. With Keras's momentum of
    0.99, they are 0.37 of the average even after 100 batches.

    Training does not see moving statistics, so this changes nothing in it.

    Args:
        model: The model as it is when its alpha has just become 1. Batch
            normalisation that a training step calls an unknown number of
            times (in a `train_step` of its own, or inside a layer that is not
            a Functional or Sequential model) stays as it is.
    """

    def __init__(self, model):
        self._model = model
        self._averages = []
        if type(model).train_step is keras.Model.train_step:
            self._averages = [
                _Average(variable, least, layer.momentum**calls)
                for layer, calls in _calls(model).items()
                if not getattr(layer, "renorm", False)
                for variable, least in (
                    (layer.moving_mean, -np.inf),
                    (layer.moving_variance, 0.0),
                )
            ]
        self._batches = 0

    def count(self, batches):
        """Counts batches that the model was trained on."""
        self._batches += batches

    def settle(self):
        """Makes statistics those of the counted batches alone."""
        if self._batches:
            backend.sync(self._model)
            for average in self._averages:
                average.settle(self._batches)
        self._batches = 0


class _Average:
    """One moving average, which is never below `least`."""

    def __init__(self, variable, least, momentum):
        self._variable = variable
        self._least = least
        self._momentum = momentum
        self._before = self._read()
        # The weight of what was there before the first counted batch.
        self._old = 1.0

    def settle(self, batches):
        now = self._read()
        # Frozen.
        if np.array_equal(now, self._before):
            return
        self._old *= self._momentum**batches
        settled = (now - self._old * self._before) / (1 - self._old)
        self._variable.assign(np.maximum(settled, self._least))
        self._before = self._read()

    def _read(self):
        return keras.ops.convert_to_numpy(self._variable).astype("float64")


def _calls(model):
    """How often a step calls each batch normalisation, `{layer: count}`."""
    counts = collections.Counter()
    functional = getattr(model, "_functional", model)
    # Keras has no public way to see how often a layer is called.
    by_depth = getattr(functional, "_nodes_by_depth", {})
    for node in itertools.chain(*by_depth.values()):
        if isinstance(node.operation, keras.layers.BatchNormalization):
            counts[node.operation] += 1
        elif isinstance(node.operation, keras.Model):
            counts.update(_calls(node.operation))
    return counts
