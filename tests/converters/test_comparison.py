"""What files are timed against, and how."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import converters
from keras_aqe.converters import comparison
from keras_aqe_runtime.file import flatbuffer


def test_times_are_taken_in_turn():
    calls, rounds = [], []
    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = comparison.times(runs, rounds=3, repeats=2, done=rounds.append)
    assert "".join(calls) == 3 * "aaabbb"
    assert {name: len(each) for name, each in times.items()} == {"a": 6, "b": 6}
    assert rounds == [1, 2, 3]


@pytest.mark.slow
def test_the_float_twin_has_the_shapes_and_no_quantizer():
    model = aqe.models.MINWNet(
        "D", filters=4, dense_units=8, input_bits=2, pad_value=1.0
    )
    twin = comparison.float_twin(model)
    assert twin.output_shape == model.output_shape
    assert [w.shape for w in twin.trainable_weights] == [
        w.shape for w in model.trainable_weights
    ]
    assert {r.weight_bits for r in aqe.summary(twin, lambda _: 0).rows} == {32}
    data = comparison.int8(twin)
    names = flatbuffer.operator_names(flatbuffer.read(data))
    assert names.count("CONV_2D") == 6 and "WHERE" not in names


@pytest.mark.slow
def test_int8_of_a_file_is_what_it_is_of_its_model():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    file = converters.convert(model, "tflite").flatbuffer
    data = comparison.int8_of_file(file)
    x = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 2)).astype("float32")
    found = converters.Interpreter(data).predict(x)
    expected = model(x).numpy()
    np.testing.assert_allclose(found, expected, atol=0.1 * abs(expected).max())
    assert len(data) < len(file)


@pytest.mark.slow
def test_a_profile_names_layers_and_kernels():
    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model)
    parts = comparison.profile(converted.flatbuffer, runs=2)
    layers = [row.name for row in converted.report]
    assert [p["layer"] for p in parts if p["layer"]] == layers
    assert all(p["ms"] > 0 and p["op"].startswith("Aqe") for p in parts)
    assert comparison.peak_mib(converted.flatbuffer) > 0
