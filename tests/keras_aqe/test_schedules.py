import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe import schedules

RAMPS = [schedules.Linear, schedules.Cosine, schedules.Exponential]
unit = st.floats(0.01, 1.0)


@pytest.mark.parametrize("cls", RAMPS)
@given(start=unit, end=unit, until=unit)
def test_a_ramp_goes_from_start_to_end(cls, start, end, until):
    ramp = cls(start, end, until)
    assert ramp(0.0) == pytest.approx(start)
    assert ramp(until) == ramp(1.0) == end
    values = [ramp(p) for p in np.linspace(0, 1, 50)]
    steps = np.diff(values) * (1 if end >= start else -1)
    assert steps.min() >= -1e-12
    low, high = min(start, end), max(start, end)
    assert low - 1e-12 <= min(values) and max(values) <= high + 1e-12


@given(start=unit, end=unit, progress=st.floats(0, 0.99))
def test_ramps_against_other_formulas(start, end, progress):
    linear = schedules.Linear(start, end, until=1.0)(progress)
    assert linear == pytest.approx(np.interp(progress, [0, 1], [start, end]))
    exponential = schedules.Exponential(start, end, until=1.0)(progress)
    logs = np.interp(progress, [0, 1], np.log([start, end]))
    assert exponential == pytest.approx(np.exp(logs))
    cosine = schedules.Cosine(start, end, until=1.0)(progress)
    swing = np.sin(np.pi * progress / 2) ** 2
    assert cosine == pytest.approx(start + (end - start) * swing)


def test_the_default_is_hard_for_the_last_fifteen_percent():
    schedule = schedules.Linear()
    assert schedule(0) == 0.5
    assert schedule(0.84) < 1
    assert schedule(0.85) == 1.0


def test_constant():
    assert {schedules.Constant(0.7)(p) for p in (0, 0.5, 1)} == {0.7}


@pytest.mark.parametrize(
    "progress, alpha", [(0, 0.5), (0.29, 0.5), (0.3, 0.8), (0.6, 1), (1, 1)]
)
def test_piecewise(progress, alpha):
    schedule = schedules.Piecewise([0.3, 0.6], [0.5, 0.8, 1.0])
    assert schedule(progress) == alpha


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.Constant(0.7),
        schedules.Linear(0.4, 0.9, 0.7),
        schedules.Cosine(0.4, 0.9, 0.7),
        schedules.Exponential(0.4, 0.9, 0.7),
        schedules.Piecewise([0.2], [0.5, 1.0]),
    ],
)
def test_config_round_trip(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    progress = np.linspace(0, 1, 30)
    assert [again(p) for p in progress] == [schedule(p) for p in progress]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: schedules.Constant(0.0), r"`value` must be in \(0, 1\]"),
        (lambda: schedules.Linear(start=0), "`start`.*start=0"),
        (lambda: schedules.Linear(start=float("nan")), "`start`"),
        (lambda: schedules.Cosine(end=1.1), "`end`.*end=1.1"),
        (lambda: schedules.Exponential(until=0), "`until`.*until=0"),
        (lambda: schedules.Piecewise([0.5], [0.5]), "one more entry"),
        (lambda: schedules.Piecewise([0.6, 0.5], [1, 1, 1]), "ascend"),
        (lambda: schedules.Piecewise([1.0], [1, 1]), "ascend"),
        (lambda: schedules.Piecewise([0.5], [0.5, 2]), "`values`"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
