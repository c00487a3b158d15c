"""`check` says what `convert` raises, and what its report will have."""

import json

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import converters, runtime
from keras_aqe.converters import pipeline
from tests.combinations import each_once
from tests.converters.networks import TARGETS


def tiny(**kwargs):
    return aqe.models.MINWNet("D", filters=4, dense_units=8, **kwargs)


def first_error(model, target, **kwargs):
    try:
        converters.convert(model, target, **kwargs)
    except converters.ConversionError as error:
        return str(error)
    return None


def model_of(*layers, shape=(8, 8, 2), dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def conv(name, **kwargs):
    kwargs = {"kernel_quantizer": "binary", "padding": "same", **kwargs}
    return aqe.layers.QuantConv2D(2, 3, name=name, **kwargs)


def act(quantizer, name):
    return aqe.layers.QuantActivation(quantizer, name=name)


def with_nan(model):
    layer = model.layers[-1]
    layer.kernel.assign(np.full(layer.kernel.shape, np.nan))
    return model


def soft(model):
    for quantizer in aqe.callbacks.find(model):
        quantizer.trained_alpha.assign(0.5)
    return model


def erf():
    return keras.layers.Lambda(lambda x: keras.ops.erfinv(x), name="erf")


# Models, and the layers that are refused: under all targets, or under some.
REFUSED = {
    "several of a kind": (
        lambda: model_of(
            conv("a", data_format="channels_first"),
            act("binary", "q"),
            conv("b"),
            act("binary", "r"),
            conv("c", data_format="channels_first"),
        ),
        ["a", "c"],
    ),
    "of many kinds": (
        lambda: with_nan(
            model_of(
                conv("a"),
                act("binary", "q"),
                conv("b", data_format="channels_first"),
                erf(),
                keras.layers.Lambda(
                    lambda x: keras.ops.fft2((x, x))[0], name="fft"
                ),
                keras.layers.Flatten(),
                keras.layers.Dense(2, name="c"),
            )
        ),
        ["c", "b", "erf", "fft"],
    ),
    "a nested one": (
        lambda: model_of(
            conv("a"),
            keras.Sequential(
                [
                    keras.Input((8, 8, 2)),
                    act("binary", "q"),
                    conv("b", data_format="channels_first"),
                ],
                name="inner",
            ),
            erf(),
        ),
        ["b", "erf"],
    ),
    "another class": (
        lambda: model_of(
            aqe.layers.QuantConv3D(
                2, 2, kernel_quantizer="binary", name="volume"
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
            shape=(4, 4, 4, 1),
        ),
        ["volume"],
    ),
    "half trained": (
        lambda: soft(model_of(conv("a"), act("binary", "q"), conv("b"))),
        [None],
    ),
    "an input": (
        lambda: keras.Sequential(
            [
                keras.Input((4,), dtype="uint64", name="x"),
                keras.layers.Rescaling(1.0),
                keras.layers.Dense(2),
            ]
        ),
        ["x"],
    ),
}


# Those of the graph do not depend on the target.
CASES = [(name, "packed") for name in REFUSED] + [
    ("of many kinds", "lce"),
    ("of many kinds", "tflite"),
    ("an input", "lce"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name, target", CASES)
def test_all_faults_are_listed_the_first_as_convert_raises_it(
    name, target, monkeypatch
):
    runs, run = [], pipeline.run
    monkeypatch.setattr(
        pipeline, "run", lambda *args: [runs.append(args), run(*args)][1]
    )
    build, layers = REFUSED[name]
    model = build()
    checked = aqe.check(model, target)
    # Once with what only TensorFlow's converter finds, and once without.
    assert len(runs) <= 2
    assert not checked.ok
    # One layer may want several operators that there are not.
    found = [fault.layer for fault in checked.faults]
    assert list(dict.fromkeys(found)) == layers
    assert len(set(checked.faults)) == len(checked.faults)
    assert checked.faults[0].message == first_error(model, target)
    for fault in checked.faults:
        assert fault.message in str(checked)


@pytest.mark.slow
def test_all_faults_of_one_layer_are_listed():
    model = model_of(
        conv("a"),
        act("binary", "q"),
        conv("b", pad_value=0.3, kernel_quantizer="po2_5"),
    )
    checked = aqe.check(model)
    assert [fault.layer for fault in checked.faults] == ["b", "b"]
    words = ("pad_value=0.3", "its kernel has 5 bits")
    for fault, expected in zip(checked.faults, words):
        assert expected in fault.message
    assert checked.faults[0].message == first_error(model, "packed")


def test_faults_inside_of_a_layer_are_those_of_the_layer():
    """Quantizers and cells have names that nobody gave."""
    half = {"dtype": "mixed_float16"}
    model = model_of(
        conv("quantized", input_quantizer="ternary", **half),
        keras.layers.Reshape((8, 16)),
        keras.layers.LSTM(2, name="recurrent", **half),
    )
    model.layers[-1].cell.kernel.assign(np.full((16, 8), np.nan))
    found = [fault.layer for fault in aqe.check(model).faults]
    assert found == ["quantized", "recurrent", "recurrent"]


STRICT = {
    # The layers that `strict` refuses, by target.
    "packed": (
        lambda: model_of(
            conv("a"),
            act("binary", "q"),
            conv("b", kernel_quantizer="po2_5"),
            act("binary", "r"),
            conv("c", kernel_quantizer="po2_6"),
        ),
        ["b", "c"],
    ),
    "lce": (
        lambda: model_of(
            keras.layers.Conv2D(2, 3),
            conv("a"),
            keras.layers.ReLU(),
            conv("b", kernel_quantizer="ternary"),
        ),
        ["a", "b"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("target", STRICT)
def test_strict_faults_are_listed_and_their_rows_are_those_of_floats(target):
    build, layers = STRICT[target]
    model = build()
    checked = aqe.check(model, target)
    assert [fault.layer for fault in checked.faults] == layers
    assert checked.faults[0].message == first_error(model, target)
    relaxed = aqe.check(model, target, strict=False)
    assert relaxed.ok
    assert list(relaxed.report) == checked.rows
    report = converters.convert(model, target, strict=False).report
    assert report == relaxed.report


def twin():
    """What is quantized of a float model, with activations of many kinds."""
    activations = ("relu", "relu6", "gelu", "swish", "leaky_relu")
    model = model_of(
        *(
            keras.layers.Conv2D(3, 3, activation=name, name=name)
            for name in activations
        ),
        keras.layers.Flatten(),
        keras.layers.Dense(2),
        shape=(12, 12, 2),
    )
    return aqe.quantize_model(model, input_bits=2, weight_bits=3)


def two_inputs():
    image, row = keras.Input((6, 6, 2)), keras.Input((4,))
    shared = conv("shared", input_quantizer="binary", bias_initializer="ones")
    x = keras.layers.Flatten()(shared(shared(image)))
    return keras.Model(
        [image, row],
        [keras.layers.Dense(2)(x), keras.layers.Dense(1)(row)],
    )


NETWORKS = {
    "plain": lambda: tiny(input_bits=1, weight_bits=2),
    "residual": lambda: aqe.models.ResNet110(2, 2, depth=8, filters=4),
    "dense": lambda: aqe.models.DenseNet100(3, 1, depth=10, growth_rate=3),
    "twin": twin,
    "several inputs": two_inputs,
    "recurrent": lambda: model_of(
        keras.layers.GRU(3), keras.layers.Dense(2), shape=(4, 2)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name, target", each_once(list(NETWORKS), TARGETS))
def test_rows_are_those_of_the_file(name, target):
    model = NETWORKS[name]()
    checked = aqe.check(model, target, strict=False)
    assert checked.ok and not checked.faults
    converted = converters.convert(model, target, strict=False)
    assert checked.rows == list(converted.report)
    assert checked.bytes == converted.bytes == len(converted.flatbuffer)
    assert checked.report.bytes_by_kind == converted.report.bytes_by_kind
    assert checked.macs == converted.macs
    assert checked.bops == sum(
        row.macs * row.input_bits * row.weight_bits for row in checked.rows
    )
    assert all(row.kernel and row.energy > 0 for row in checked.rows)
    if target == "packed" and name == "plain":
        interpreter = converters.Interpreter(converted)
        interpreter.predict(np.zeros((1, 32, 32, 3), "float32"))
        used = {part["kernel"] for part in interpreter.profile()}
        known = {kernel["name"] for kernel in runtime.kernels()[1]}
        assert {row.kernel for row in checked.rows} <= used <= known


@pytest.mark.slow
@pytest.mark.parametrize(
    "target, expected",
    [
        # Codes of 0 to 3 have no planes in the packed format; those of 0 and
        # 1 do, though layers of few channels may run as bytes.
        ("packed", {"u2": {"int8", "SHIFT"}, "u1": {"int8", "XNOR"}}),
        ("lce", {"u2": {"XNOR"}, "u1": {"XNOR"}}),
        ("tflite", {"u2": {"int8"}, "u1": {"int8"}}),
    ],
)
def test_rows_say_what_their_kernels_do(target, expected):
    def unsigned(bits):
        quantizer = f"unsigned_{bits}"
        return conv(f"u{bits}", input_quantizer=quantizer, use_bias=False)

    model = model_of(
        keras.layers.Conv2D(2, 1, name="plain"),
        keras.layers.ReLU(),
        unsigned(2),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(),
        unsigned(1),
        act("binary", "q"),
    )
    checked = aqe.check(model, target)
    rows = {row.name: row for row in checked.rows}
    for name, possible in expected.items():
        assert rows[name].arithmetic in possible
        assert f"{rows[name].kernel} ({rows[name].arithmetic})" in str(checked)
    assert rows["plain"].arithmetic == "float32"


def test_rows_of_a_model_that_nothing_can_be_made_of():
    model = model_of(conv("a"), act("binary", "q"), conv("b"))
    model.layers[0].kernel.assign(np.full((3, 3, 2, 2), np.inf))
    checked = aqe.check(soft(model))
    assert [fault.layer for fault in checked.faults] == ["a", None]
    assert [row.name for row in checked.rows] == ["a", "b"]
    assert checked.rows[0].note == "refused" and not checked.rows[0].op
    assert checked.rows[0].macs == 64 * 36
    assert checked.rows[0].kind == checked.rows[0].operation


def test_what_no_graph_is_known_of():
    class Own(keras.Model):
        def call(self, x):
            return x

    checked = aqe.check(Own())
    assert not checked.ok and checked.rows == [] and checked.report is None
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    assert "not built" in aqe.check(unbuilt).faults[0].message
    with pytest.raises(ValueError, match="target='tpu'"):
        aqe.check(unbuilt, "tpu")
    with pytest.raises(ValueError, match="`compact` is for"):
        aqe.check(unbuilt, "packed", compact=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "image, is_whole",
    [
        (keras.layers.Rescaling(1 / 255), True),
        (keras.layers.Rescaling(1 / 127.5, offset=-1), True),
        (keras.layers.Rescaling(1 / 127.5, offset=[-1, 0.2]), True),
        (keras.layers.Rescaling(1 / 53, offset=[-1.7, 0.2345]), False),
    ],
)
def test_images_of_whole_numbers_are_multiplied_as_bytes(image, is_whole):
    (row,) = aqe.check(model_of(conv("conv")), image=image).rows
    assert ("pixels" in row.kernel) == is_whole, row


@pytest.mark.slow
def test_images_and_softness_are_as_in_convert():
    model = soft(tiny())
    image = keras.layers.Rescaling(1 / 127.5, offset=-1)
    assert not aqe.check(model, image=image).ok
    checked = aqe.check(model, image=image, allow_soft=True)
    assert checked.ok
    _, kernels = runtime.kernels()
    takes = {kernel["name"]: kernel["inputs"] for kernel in kernels}
    assert "uint8 image" in takes[checked.rows[0].kernel]
    text = json.dumps(checked.to_dict())
    assert json.loads(text)["layers"][0]["op"] == "AqeConv2D"
    assert "<table>" in checked._repr_html_()
    assert repr(checked) == "<Check target='packed', 9 layers, 0 faults>"


@pytest.mark.slow
def test_summary_has_the_operators_of_a_target():
    model = tiny(input_bits=2, weight_bits=2)
    summary = aqe.summary(model, print_fn=lambda text: None, target="packed")
    plain = aqe.summary(model, print_fn=lambda text: None)
    checked = aqe.check(model).rows
    assert [(row.op, row.bytes, row.kernel) for row in summary.rows] == [
        (row.op, row.bytes, row.kernel) for row in checked
    ]
    assert not any(row.op or row.kernel for row in plain.rows)
    for ours, theirs in zip(plain.rows, checked, strict=True):
        assert (ours.macs, ours.bops) == (theirs.macs, theirs.bops)
