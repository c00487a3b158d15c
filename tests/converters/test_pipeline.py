"""What the parts of a conversion say when one of them fails."""

import keras
import pytest

import keras_aqe as aqe
from keras_aqe.converters import pipeline
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.targets import TARGETS


def model():
    return keras.Sequential(
        [
            keras.Input((4,), dtype="int32"),
            keras.layers.Rescaling(1.0),
            aqe.layers.QuantDense(2, kernel_quantizer="binary", name="fc"),
        ]
    )


def run(**kwargs):
    return pipeline.run(model(), pipeline.Request("packed"), **kwargs)


def test_steps_are_named_and_nothing_is_refused():
    steps, refused = [], []
    file, report, interpreter = run(step=steps.append, refuse=refused.append)
    assert len(steps) == 3 and not refused
    assert len(file.data) == report.bytes and interpreter.profile()


def test_an_error_of_the_converter_names_layer_and_types(monkeypatch):
    def fail(graph, options):
        number = next(n.number for n in graph.nodes if n.name == "fc")
        raise RuntimeError(f"at n{number}/MatMul: no such thing")

    broken = TARGETS["packed"].__class__("packed", fail, lambda *args: None)
    monkeypatch.setitem(TARGETS, "packed", broken)
    with pytest.raises(ConversionError, match="'fc'.*no such thing.*int32"):
        run()
    try:
        run()
    except ConversionError as error:
        assert error.layer == "fc"
        assert isinstance(error.__cause__, RuntimeError)


def test_layers_are_left_out():
    file, report, _ = run(without={"fc"})
    assert report == [] and len(file.model.subgraphs[0].inputs) == 2
