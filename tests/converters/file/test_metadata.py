"""Descriptions that are not what `convert` writes, with a right digest."""

import copy
import json

import keras
import pytest

from keras_aqe import layers
from keras_aqe.converters import ConversionError, Interpreter, convert, report
from keras_aqe.converters.file import flatbuffer, metadata


@pytest.fixture(scope="module")
def data():
    inputs = keras.Input((6,))
    x = layers.QuantDense(3, kernel_quantizer="binary", name="[b]")(inputs)
    x = layers.QuantActivation("ternary")(x)
    return convert(keras.Model({"x": inputs}, {"y": x})).flatbuffer


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


@pytest.mark.parametrize(
    "text",
    [
        '{"digest": "x", "description": ' + "[" * 10**5 + "]" * 10**5 + "}",
        '{"digest": "x", "description": {"version": ' + "9" * 5000 + "}}",
        *("", "[]", "null", "{}", '{"digest": "x"}', "\xff", "NaN"),
    ],
    ids=lambda text: text[:9],
)
def test_an_entry_that_is_none(data, text):
    model = flatbuffer.read(data)
    flatbuffer.set_metadata(model, metadata.NAME, text.encode("latin-1"))
    file = flatbuffer.write(model)
    for read in (report, Interpreter):
        with pytest.raises(ConversionError, match="entry 'keras_aqe' is dam"):
            read(file)


@pytest.mark.parametrize(
    "name, shown",
    [
        ("conv[b]", "conv[b]"),
        ("[/x]", "[/x]"),
        ("[bold red]a[/]", "[bold red]a[/]"),
        (":smile:", ":smile:"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("größe", "größe"),
    ],
)
def test_names_are_shown_as_they_are(data, name, shown):
    model = flatbuffer.read(data)
    description = metadata.read(model)
    description["layers"][0]["name"] = name
    assert shown in str(report(metadata.seal(model, description)))


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


def edit_graph(model):
    model.subgraphs[0].name = b"\xff"


def edit_tensor(model):
    model.subgraphs[0].tensors[0].name = b"\xff"


def edit_code(model):
    model.operatorCodes[0].customCode = b"\xff"


def edit_signature(model):
    model.signatureDefs[0].signatureKey = b"\xff"


def edit_signature_input(model):
    model.signatureDefs[0].inputs[0].name = b"\xff"


def edit_description(model):
    model.description = b"\xff"


@pytest.mark.parametrize(
    "edit",
    [
        *(edit_graph, edit_tensor, edit_code, edit_signature),
        *(edit_signature_input, edit_description),
    ],
)
def test_a_name_that_is_no_utf_8(data, edit):
    model = flatbuffer.read(data)
    edit(model)
    for described in (True, False):
        model.metadata = model.metadata if described else None
        for read in (report, Interpreter):
            with pytest.raises(ConversionError, match="damaged.*utf-8"):
                read(flatbuffer.write(model))


def test_the_entry_is_json(data):
    entry = flatbuffer.metadata(flatbuffer.read(data), metadata.NAME)
    assert set(json.loads(entry)) == {"digest", "description"}
