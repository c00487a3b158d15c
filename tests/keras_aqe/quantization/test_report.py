import json

import pytest

from keras_aqe import quantizers
from keras_aqe.quantization.report import (
    QuantizationReport,
    QuantizedLayer,
    describe,
)


def report():
    dense = ("Dense", 32, "", 32, "", "last layer")
    conv = ("QuantConv2D", 2, "2 bit unsigned", 1, "1 bit x 0.5", "")
    return QuantizationReport(
        "net",
        [
            QuantizedLayer("a/conv", "Conv2D", *conv),
            QuantizedLayer("dense", "Dense", *dense),
        ],
    )


def test_prints_as_a_table():
    text = str(report())
    assert "Model: net" in text and "1 of 2 layers" in text
    conv, dense = (
        next(line for line in text.splitlines() if name in line)
        for name in ("a/conv", "dense")
    )
    assert "QuantConv2D" in conv and "1 bit x 0.5" in conv
    assert "as it was" in dense and "last layer" in dense
    assert "'net', 1 of 2 layers" in repr(report())
    page = report()._repr_html_()
    assert "a/conv" in page and "1 of 2 layers" in page


def test_as_data():
    data = json.loads(json.dumps(report().to_dict()))
    assert data["name"] == "net"
    assert data["rows"][0]["path"] == "a/conv"
    assert data["rows"][1]["note"] == "last layer"
    assert [row.path for row in report().quantized] == ["a/conv"]


@pytest.mark.parametrize(
    "quantizer, expected",
    [
        (None, ""),
        (quantizers.Binary(), "1 bit"),
        (quantizers.FixedPoint(3, signed=False, scale=4), "3 bit unsigned x 4"),
        (quantizers.Ternary(scale=2**-4), "2 bit x 0.0625"),
    ],
)
def test_quantizers_in_words(quantizer, expected):
    assert describe(quantizer) == expected
