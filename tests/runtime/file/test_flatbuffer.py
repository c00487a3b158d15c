"""Reading and writing .tflite files, and their digests."""

import pathlib

import numpy as np
import pytest

from keras_aqe_runtime.file import flatbuffer, metadata

ROOT = pathlib.Path(__file__).parents[3]
PRETRAINED = sorted((ROOT / "examples" / "pretrained").glob("*.tflite"))


@pytest.mark.parametrize("path", PRETRAINED, ids=lambda path: path.stem)
def test_files_of_an_older_schema_keep_their_digest(path):
    """They were written when no operator had these fields."""
    model = flatbuffer.read(path.read_bytes())
    assert metadata.read(model)["layers"]


def test_a_field_of_a_newer_schema_counts_where_it_is_set():
    schema = flatbuffer.schema
    model = schema.ModelT()
    options = schema.FullyConnectedOptionsT()
    model.operatorCodes, model.subgraphs = [options], []
    empty = flatbuffer.digest(model, "")
    del options.quantSpec
    assert flatbuffer.digest(model, "") == empty
    options.quantSpec = np.array([1])
    assert flatbuffer.digest(model, "") != empty
