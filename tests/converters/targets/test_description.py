"""What files say of themselves."""

import pytest

from keras_aqe import models
from keras_aqe.converters import (
    ConversionError,
    convert,
    report,
)
from keras_aqe_runtime.file import flatbuffer, metadata


def test_a_file_describes_itself(minw_file, tmp_path):
    path = tmp_path / "model.tflite"
    minw_file.save(path)
    for file in (path, str(path), path.read_bytes()):
        assert report(file) == minw_file.report
    assert report(path).target in ("lce", "packed", "tflite")


@pytest.mark.slow
def test_the_report_follows_the_file_not_the_plan():
    model = models.MINWNet(filters=4, dense_units=8)
    file = convert(model, "lce").flatbuffer
    parsed = flatbuffer.read(file)
    description = metadata.read(parsed)
    code = next(
        c for c in parsed.operatorCodes if c.customCode == b"LceBconv2d"
    )
    code.customCode = b"AqeConv2D"
    rows = report(metadata.seal(parsed, description))
    assert [row.op for row in rows][1] == "AqeConv2D"


def test_a_report_names_a_layer_whose_kernel_is_gone(minw_file):
    parsed = flatbuffer.read(minw_file.flatbuffer)
    description = metadata.read(parsed)
    index = description["layers"][1]["operators"][0]
    graph = parsed.subgraphs[0]
    kernel = graph.tensors[graph.operators[index].inputs[1]]
    parsed.buffers[kernel.buffer].data = None
    with pytest.raises(ConversionError, match="damaged.*'conv2'"):
        report(metadata.seal(parsed, description))
