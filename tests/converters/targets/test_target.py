"""What `convert` asks of a target's rules."""

import dataclasses

import pytest

from keras_aqe import models
from keras_aqe.converters import ConversionError, convert
from keras_aqe.converters.targets import TARGETS


def small(**kwargs):
    return models.MINWNet(filters=4, dense_units=8, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["lce", "tflite"])
def test_strict_refuses_what_came_out_in_float(monkeypatch, target):
    """Whatever the reason: here, a rule that no longer allows it."""
    rule = dataclasses.replace(TARGETS[target], float_rule=lambda *args: None)
    monkeypatch.setitem(TARGETS, target, rule)
    with pytest.raises(
        ConversionError, match="'conv1'.*CONV_2D in float.*strict=False"
    ):
        convert(small(), target)
    rows = convert(small(), target, strict=False).report
    assert rows[0].note == "runs in float" and rows[1].note == ""


@pytest.mark.parametrize("target", ["packed", "lce"])
def test_refuses_compact_where_it_means_nothing(target):
    with pytest.raises(ValueError, match="compact.*tflite"):
        convert(models.MINWNet(filters=4, dense_units=8), target, compact=True)
