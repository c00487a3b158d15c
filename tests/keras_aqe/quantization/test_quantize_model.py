import keras
import numpy as np
import pytest

import keras_aqe as aqe
from tests.keras_aqe.quantization.networks import (
    dense,
    images,
    mobile,
    residual,
    straight,
    trained,
)

K = keras.layers
NETWORKS = [residual, straight, mobile]


def flat(outputs):
    return [np.asarray(x) for x in keras.tree.flatten(outputs)]


def names(model):
    return [
        (layer.name, names(layer) if hasattr(layer, "layers") else None)
        for layer in model.layers
        if not isinstance(layer, K.InputLayer)
    ]


def near_float(twin):
    """The twin at inference, but with blends of hardly any hard values."""
    for row in twin.quantization_report.quantized:
        layer = twin
        for name in row.path.split("/"):
            layer = layer.get_layer(name)
        blend(layer.input_quantizer)
        blend(layer.kernel_quantizer)
    return twin


def blend(quantizer):
    quantizer.alpha.assign(1e-7)
    quantizer.call = lambda x, training=None: quantizer.blend(x)


@pytest.mark.slow
@pytest.mark.parametrize("build", NETWORKS)
def test_the_twin_has_the_names_and_the_weights(build):
    model = trained(build())
    before = model.get_weights()
    x = images(model)
    twin = aqe.quantize_model(model, 2, 1, depthwise_bits=None, data=x)
    assert names(twin) == names(model) and twin.name == model.name
    assert isinstance(twin, keras.Sequential) == (build is straight)
    ours = [w for w in twin.weights if "alpha" not in w.name]
    for found, given, kept in zip(
        ours, before, model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, given)
        np.testing.assert_array_equal(kept, given)
    keras.tree.assert_same_structure(twin(x), model(x))
    quantized = {
        row.path: (row.input_bits, row.weight_bits)
        for row in twin.quantization_report.quantized
    }
    expected = {
        residual: ["conv1", "conv2", "conv3", "conv4", "shortcut"],
        straight: ["conv", "dense"],
        mobile: ["block/expand", "block/depth", "block/project", "shared"],
    }[build]
    assert quantized == dict.fromkeys(expected, (2, 1))


@pytest.mark.slow
@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("build", NETWORKS)
def test_at_alpha_0_it_is_the_float_network(build, with_data):
    model = trained(build())
    x = images(model)
    twin = aqe.quantize_model(model, 1, 2, data=x if with_data else None)
    for ours, theirs in zip(flat(near_float(twin)(x)), flat(model(x))):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("build", NETWORKS)
def test_wider_twins_come_nearer(build):
    model = trained(build())
    x = images(model)
    gaps = []
    for bits in (1, 3, 8):
        twin = aqe.quantize_model(model, bits, bits, data=x)
        pairs = zip(flat(twin(x)), flat(model(x)))
        gaps.append(sum(np.mean((a - b) ** 2) for a, b in pairs))
    size = sum(np.mean(b**2) for b in flat(model(x)))
    assert gaps[2] < 0.01 * size and gaps[2] < gaps[1] < gaps[0]


def test_inputs_behind_a_relu_are_unsigned():
    twin = aqe.quantize_model(residual(), 2, 2)
    for row in twin.quantization_report.quantized:
        quantizer = twin.get_layer(row.path).input_quantizer
        assert quantizer.bits == 2 and quantizer.levels[0] == 0
    twin = aqe.quantize_model(residual("tanh"), 2, 2)
    assert {
        type(twin.get_layer(row.path).input_quantizer)
        for row in twin.quantization_report.quantized
    } == {aqe.quantizers.Ternary}
    # A linear bottleneck is signed, what its ReLUs leave is not.
    block = aqe.quantize_model(mobile(), 1, 1).get_layer("block")
    levels = {
        name: block.get_layer(name).input_quantizer.levels[0]
        for name in ("expand", "depth", "project")
    }
    assert levels["expand"] < 0 == levels["depth"] == levels["project"]


def test_a_sign_behind_a_relu_is_refused():
    with pytest.raises(ValueError, match="'conv1'.*never below 0.*unsigned_1"):
        aqe.quantize_model(
            residual(), 2, 2, overrides={"conv1": {"input_quantizer": "binary"}}
        )


@pytest.mark.parametrize(
    "first_last_bits, first, last",
    [
        (32, (32, 32), (32, 32)),
        (4, (32, 4), (4, 4)),
        ((8, 3), (32, 3), (8, 3)),
        (None, (32, 1), (2, 1)),
    ],
)
def test_first_and_last_layers_are_wider(first_last_bits, first, last):
    twin = aqe.quantize_model(straight(), 2, 1, first_last_bits=first_last_bits)
    rows = {row.path: row for row in twin.quantization_report.rows}
    widths = {
        path: (row.input_bits, row.weight_bits) for path, row in rows.items()
    }
    assert widths == {
        "first": first,
        "conv": (2, 1),
        "dense": (2, 1),
        "last": last,
    }
    if first_last_bits is not None:
        notes = rows["first"].note, rows["last"].note
        assert notes == ("first layer", "last layer")


@pytest.mark.parametrize(
    "bits, options, expected",
    [
        ((2, 1), {}, (8, 4, "depthwise layer")),
        ((2, 8), {}, (8, 8, "depthwise layer")),
        ((16, 16), {}, (16, 16, "depthwise layer")),
        ((2, 1), {"depthwise_bits": 3}, (3, 3, "depthwise layer")),
        ((2, 1), {"depthwise_bits": 32}, (32, 32, "depthwise layer")),
        ((2, 1), {"depthwise_bits": None}, (2, 1, "")),
        ((2, 1), {"overrides": {K.DepthwiseConv2D: 2}}, (2, 2, "override")),
        ((2, 1), {"skip": "*/depth"}, (32, 32, "skip")),
    ],
)
def test_depthwise_layers_are_wider(bits, options, expected):
    report = aqe.quantize_model(mobile(), *bits, **options).quantization_report
    rows = {
        row.path: (row.input_bits, row.weight_bits, row.note)
        for row in report.rows
    }
    assert rows["block/depth"] == expected
    assert rows["block/expand"] == rows["block/project"] == (*bits, "")


def test_a_depthwise_layer_may_be_the_first():
    inputs = keras.Input((8, 8, 4))
    x = K.DepthwiseConv2D(3, name="first")(inputs)
    x = K.Conv2D(4, 3, groups=4, name="depth")(K.ReLU()(x))
    model = keras.Model(inputs, K.Conv2D(3, 1, name="last")(x))
    for edges, first in ((32, 32), (2, 2), (None, 4)):
        twin = aqe.quantize_model(model, 1, 1, first_last_bits=edges)
        widths = [
            (row.input_bits, row.weight_bits)
            for row in twin.quantization_report.rows[:2]
        ]
        assert widths == [(32, first), (8, 4)]


def test_all_inputs_and_outputs_have_first_and_last_layers():
    twin = aqe.quantize_model(mobile(), 2, 2, depthwise_bits=None)
    rows = twin.quantization_report.rows
    notes = {row.path: row.note for row in rows if row.note}
    assert notes == {
        "first": "first layer",
        "score": "last layer",
        "classes": "last layer",
    }


def test_skip_and_overrides():
    own = aqe.quantizers.PowerOfTwo(4, scale=2.0)
    twin = aqe.quantize_model(
        residual(),
        2,
        2,
        skip="shortcut",
        overrides={
            K.Conv2D: (3, 1),
            "conv?": 3,
            "conv2": {"input_quantizer": own, "kernel_quantizer": "po2_4"},
            "conv4": None,
            "last": (8, 4),
        },
    )
    found = {
        row.path: (row.input_bits, row.weight_bits, row.note)
        for row in twin.quantization_report.rows
    }
    assert found == {
        "first": (32, 1, "override"),
        "conv1": (3, 3, "override"),
        "conv2": (4, 4, "override"),
        "conv3": (3, 3, "override"),
        "conv4": (32, 32, "override"),
        "shortcut": (32, 32, "skip"),
        "last": (8, 4, "override"),
    }
    layer = twin.get_layer("conv2")
    assert layer.input_quantizer is not own
    assert layer.input_quantizer.scale == 2.0
    assert type(twin.get_layer("conv4")) is K.Conv2D


def test_an_image_is_quantized_where_it_is_asked_for():
    given = {"input_quantizer": "fixed_8", "kernel_quantizer": "ternary"}
    twin = aqe.quantize_model(straight(), 2, 2, overrides={"first": given})
    assert twin.get_layer("first").input_quantizer.bits == 8


class Own(K.Conv2D):
    """A class of its own, which may compute anything."""


@keras.saving.register_keras_serializable("tests")
class Block(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = K.Dense(3)

    def call(self, inputs):
        return self.dense(inputs)

    def build(self, input_shape):
        self.dense.build(input_shape)


def test_what_has_no_quantized_form_stays_and_is_reported():
    inputs = keras.Input((4, 4, 2))
    x = Own(3, 1, name="own")(inputs)
    x = K.Conv2D(3, 1, name="conv")(x)
    x = aqe.layers.QuantConv2D(3, 1, kernel_quantizer="binary", name="done")(x)
    x = Block(name="hidden")(K.Reshape((16, 3))(x))
    x = K.TimeDistributed(K.Dense(3), name="steps")(x)
    x = K.LSTM(4, name="lstm")(x)
    model = keras.Model(inputs, K.Dense(2, name="last")(x))
    twin = aqe.quantize_model(model, 2, 2)
    rows = {row.path: row for row in twin.quantization_report.rows}
    assert {path: row.note for path, row in rows.items()} == {
        "own": "a subclass of Conv2D, which may compute something else",
        "conv": "",
        "done": "quantized already",
        "hidden": "no quantized form",
        "steps": "no quantized form",
        "lstm": "no quantized form",
        "last": "last layer",
    }
    assert type(twin.get_layer("own")) is Own
    x = np.ones((2, 4, 4, 2), "float32")
    given = near_float(twin)(x)
    np.testing.assert_allclose(given, model(x), atol=1e-4)


def test_arguments_of_layers_are_kept():
    layer = K.Conv2D(
        4,
        3,
        strides=2,
        padding="same",
        groups=2,
        use_bias=False,
        kernel_regularizer="l2",
        trainable=False,
        name="conv",
    )
    limited = K.Dense(3, kernel_constraint="non_neg", name="limited")
    model = keras.Sequential([keras.Input((8, 8, 2)), layer, limited])
    twin = aqe.quantize_model(model, 2, 2, first_last_bits=None)
    ours = twin.get_layer("conv").get_config()
    added = {"input_quantizer", "kernel_quantizer", "pad_value"}
    for key, value in layer.get_config().items():
        if key != "kernel_constraint":
            assert ours[key] == value
    assert set(ours) - set(layer.get_config()) == added
    quantizer = twin.get_layer("conv").kernel_quantizer
    assert twin.get_layer("conv").kernel_constraint.limit == quantizer.scale
    kept = twin.get_layer("limited").kernel_constraint
    assert isinstance(kept, keras.constraints.NonNeg)


@pytest.mark.slow
def test_trains_and_is_saved(tmp_path):
    model = trained(dense())
    x = images(model, 64)
    twin = aqe.quantize_model(model, 1, 1, data=x)
    assert not twin.compiled
    twin.compile(keras.optimizers.Adam(0.02), "mse", jit_compile=False)
    y = np.asarray(model(x))
    before = twin.evaluate(x, y, verbose=0)
    twin.fit(
        x, y, epochs=15, verbose=0, callbacks=[aqe.callbacks.AlphaScheduler()]
    )
    assert twin.evaluate(x, y, verbose=0) < before
    twin.save(tmp_path / "twin.keras")
    loaded = keras.models.load_model(tmp_path / "twin.keras")
    np.testing.assert_array_equal(loaded(x), twin(x))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = K.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: aqe.quantize_model(Subclassed(), 1, 1),
            "`quantize_model` takes Functional.*model.call",
        ),
        (
            lambda: aqe.quantize_model(keras.Sequential([K.Dense(1)]), 1, 1),
            "not built",
        ),
        (lambda: aqe.quantize_model(straight(), 5, 1), "`input_bits`.*5"),
        (lambda: aqe.quantize_model(straight(), 1, 7), "`weight_bits`.*7"),
        (lambda: aqe.quantize_model(straight(), "2", 1), "`input_bits`.*'2'"),
        (lambda: aqe.quantize_model(straight(), 1, 2.0), "`weight_bits`.*2.0"),
        (
            lambda: aqe.quantize_model(straight(), 1, 1, overrides={"conv": 5}),
            r"`overrides\['conv'\]`.*5",
        ),
        (
            lambda: aqe.quantize_model(
                straight(), 1, 1, overrides={"conv": (2, "x")}
            ),
            r"`overrides\['conv'\]`.*'x'",
        ),
        (
            lambda: aqe.quantize_model(straight(), 1, 1, first_last_bits=9),
            "`first_last_bits`.*9",
        ),
        (
            lambda: aqe.quantize_model(mobile(), 1, 1, depthwise_bits=(8, 5)),
            "`depthwise_bits`.*5",
        ),
        (
            lambda: aqe.quantize_model(mobile(), 1, 1, depthwise_bits=(8,)),
            r"`depthwise_bits`.*pair of widths.*Received: \(8,\)",
        ),
        (
            lambda: aqe.quantize_model(straight(), 1, 1, first_last_bits="8"),
            "`first_last_bits` must be a width.*Received: '8'",
        ),
        (
            lambda: aqe.quantize_model(straight(), 1, 1, data=[1, 2]),
            "`data` must be",
        ),
        (
            lambda: aqe.quantize_model(straight(), 1, 1, skip="convx"),
            "'convx'.*first, conv, dense, last",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_subclassed_model_is_rebuilt_as_the_error_says():
    model = Subclassed()
    inputs = keras.Input((3,))
    rebuilt = keras.Model(inputs, model.call(inputs))
    twin = aqe.quantize_model(rebuilt, 1, 1, first_last_bits=None)
    np.testing.assert_array_equal(
        twin.layers[-1].kernel, rebuilt.layers[-1].kernel
    )
