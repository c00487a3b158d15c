"""Operators of Larq Compute Engine in edited files."""

import pytest

from keras_aqe import models
from keras_aqe.converters import (
    ConversionError,
    Interpreter,
    convert,
)
from keras_aqe_runtime.file import flatbuffer


@pytest.mark.slow
def test_an_operator_of_lce_without_a_result_is_refused():
    """Its interpreter crashes on one."""
    model = models.MINWNet(filters=4, dense_units=8)
    parsed = flatbuffer.read(convert(model, "lce").flatbuffer)
    parsed.metadata = None
    Interpreter(flatbuffer.write(parsed))
    names = flatbuffer.operator_names(parsed)
    operators = parsed.subgraphs[0].operators
    operators[names.index("LceBconv2d")].outputs = []
    with pytest.raises(ConversionError, match="LceBconv2d is malformed"):
        Interpreter(flatbuffer.write(parsed))
