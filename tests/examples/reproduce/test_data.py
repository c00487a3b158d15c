"""Shuffled indices, as workers share them."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from examples.reproduce.data import shuffled


def indices(number, workers=1, worker=0, seen=0, count=7):
    context = tf.distribute.InputContext(workers, worker, workers)
    data = shuffled(count, 3, context, seen)
    return [int(i) for i in data.take(number).as_numpy_iterator()]


def test_each_epoch_has_all_in_an_order_of_its_own():
    epochs = np.reshape(indices(21), (3, 7))
    for epoch in epochs:
        assert set(epoch) == set(range(7))
    assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize("seen", [0, 3, 7, 17])
def test_goes_on_after_what_was_seen(seen):
    assert indices(10, seen=seen) == indices(10 + seen)[seen:]


def test_workers_share_what_one_process_has():
    shares = [indices(7, workers=2, worker=n) for n in range(2)]
    together = list(itertools.chain.from_iterable(zip(*shares)))
    assert together == indices(14)
