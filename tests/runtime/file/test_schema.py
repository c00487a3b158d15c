"""Descriptions of other types than `convert` writes, with a right digest."""

import copy

import pytest

from keras_aqe.converters import ConversionError, Interpreter, report
from keras_aqe_runtime.file import flatbuffer, metadata


def places(value, place=()):
    """The path to everything in nested lists and dictionaries."""
    yield place
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*place, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*place, index))


def put(description, place, value):
    """A copy with another value in a place; `put` itself takes it away."""
    changed = [copy.deepcopy(description)]
    inner = changed
    for key in (0, *place[:-1]) if place else ():
        inner = inner[key]
    if value is put:
        del inner[place[-1] if place else 0]
    else:
        inner[place[-1] if place else 0] = value
    return changed[0] if changed else None


ODD = [None, True, -1, 0, 5, 1.5, 1e999, 10**30, "", "x", [], [[]], {}, put]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:9])
def test_every_field_with_an_odd_value(data, odd):
    """Nothing but `ConversionError` comes of it."""
    model = flatbuffer.read(data)
    description = metadata.read(model)
    assert report(metadata.seal(model, description))
    refused = 0
    for place in places(description):
        if odd is put and not place:
            continue
        file = metadata.seal(model, put(description, place, odd))
        try:
            str(report(file))
            interpreter = Interpreter(file)
            interpreter.predict({"x": [[1.0] * 6]})
        except (ConversionError, ValueError) as error:
            assert str(error)
            refused += 1
    assert refused > 10


def test_structures_count_their_tensors(data):
    model = flatbuffer.read(data)
    description = metadata.read(model)
    deep = 0
    for _ in range(40):
        deep = [deep]
    for structure in ({"y": 1}, [0, 0], [0, 1], [], deep, {"y": -1}):
        changed = description | {"output_structure": structure}
        with pytest.raises(ConversionError, match="structure"):
            Interpreter(metadata.seal(model, changed))
