"""Descriptions that are not what `convert` writes, with a right digest."""

import json

import pytest

from keras_aqe.converters import ConversionError, Interpreter, report
from keras_aqe_runtime.file import flatbuffer, metadata


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
