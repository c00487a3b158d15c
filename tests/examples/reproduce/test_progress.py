"""Learning rates and alphas by step."""

import numpy as np
import pytest

import keras_aqe as aqe
from examples.reproduce import progress, runs


@pytest.mark.parametrize(
    "decay, expected",
    [
        ({"kind": "exponential", "to": 0.01}, [1.0, 0.1, 0.01]),
        ({"kind": "steps", "at": [0.5, 0.75]}, [1.0, 1.0, 0.01]),
        ({"kind": "cosine"}, [1.0, 0.5, 0.0]),
        ({"kind": "cosine", "to": 0.2}, [1.0, 0.6, 0.2]),
        ({"kind": "cosine", "warm_up": 0.5}, [0.0, 1.0, 0.0]),
        ({"kind": "none"}, [1.0, 1.0, 1.0]),
    ],
)
def test_learning_rates_at_the_start_half_way_and_at_the_end(decay, expected):
    run = {**runs.DEFAULTS, "learning_rate": 1.0, "decay": decay}
    rate = progress.learning_rate(run, 100)
    found = [rate(step) if callable(rate) else rate for step in (0, 50, 100)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="`decay`"):
        progress.learning_rate({**runs.DEFAULTS, "decay": {"kind": "no"}}, 10)
    with pytest.raises(ValueError, match="`alpha_order`"):
        progress.alphas({**runs.DEFAULTS, "alpha_order": "no"}, 3, 10)


def test_alpha_is_the_schedule_of_the_progress():
    run = {**runs.DEFAULTS, "schedule": {"kind": "Cosine", "start": 0.2}}
    found = progress.alphas(run, 3, 40)
    schedule = aqe.schedules.Cosine(start=0.2)
    expected = [[schedule(step / 40)] * 3 for step in range(40)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("order", ["forward", "backward"])
def test_one_quantizer_rises_after_the_other(order):
    schedule = {"kind": "Linear", "start": 0.1, "until": 0.8}
    run = {**runs.DEFAULTS, "schedule": schedule, "alpha_order": order}
    found = progress.alphas(run, 4, 100)
    if order == "backward":
        found = found[:, ::-1]
    for turn, column in enumerate(found.T):
        # A quarter of the first 80 steps each.
        rising = np.nonzero((column > 0.1) & (column < 1))[0]
        assert set(rising) <= set(range(20 * turn, 20 * turn + 21))
        assert (np.diff(column) >= 0).all()
        assert (column[0], column[80]) == (np.float32(0.1), 1)
        np.testing.assert_allclose(column[20 * turn + 10], 0.55, rtol=1e-5)
