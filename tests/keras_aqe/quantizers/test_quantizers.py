"""Quantizers by object, name and config, and what they refuse."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe

Q = aqe.quantizers

OBJECTS = [
    (Q.Binary, {"estimator": "ste", "stochastic": True, "seed": 3}),
    (Q.Ternary, {"threshold": 0.3, "relative": False}),
    (Q.Ternary, {"relative": True, "stochastic": True}),
    (Q.PowerOfTwo, {"bits": 4}),
    (Q.Binary, {"scale": 0.25}),
    (Q.Ternary, {"threshold": 0.3, "scale": 4.0}),
    (Q.PowerOfTwo, {"bits": 3, "relative": False, "scale": 0.5}),
    (Q.FixedPoint, {"bits": 2, "signed": False, "scale": 2.0}),
    (Q.PowerOfTwo, {"bits": 3, "thresholds": (0.1, 0.2, 0.6)}),
    (Q.Float16, {"estimator": "ste"}),
    (Q.FixedPoint, {"bits": 5, "stochastic": True}),
    (Q.FixedPoint, {"bits": 1, "signed": False, "estimator": "ste"}),
]


@pytest.mark.parametrize("cls, arguments", OBJECTS)
def test_config_round_trip(cls, arguments):
    quantizer = cls(**arguments)
    config = keras.saving.serialize_keras_object(quantizer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is cls
    assert again.get_config() == quantizer.get_config()
    assert {k: quantizer.get_config()[k] for k in arguments} == arguments
    x = np.linspace(-1, 1, 101, dtype="float32")
    np.testing.assert_array_equal(again.hard(x), quantizer.hard(x))
    assert type(Q.get(config)) is cls


@pytest.mark.parametrize(
    "name, cls, bits",
    [
        ("binary", Q.Binary, 1),
        ("ternary", Q.Ternary, 2),
        ("po2_3", Q.PowerOfTwo, 3),
        ("po2_4", Q.PowerOfTwo, 4),
        ("fixed_8", Q.FixedPoint, 8),
        ("float16", Q.Float16, 16),
    ],
)
def test_get_by_name(name, cls, bits):
    quantizer = Q.get(name, estimator="ste")
    assert type(quantizer) is cls
    assert quantizer.bits == bits
    assert quantizer.estimator == "ste"
    assert Q.get(quantizer) is quantizer
    assert Q.of_width(bits).bits == bits


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_unsigned_by_name_and_by_width(bits):
    expected = Q.FixedPoint(bits, signed=False, name="").get_config()
    for made in (
        Q.get(f"unsigned_{bits}", name=""),
        Q.of_width(bits, signed=False, name=""),
    ):
        assert type(made) is Q.FixedPoint
        assert made.get_config() == expected


def test_wide_quantizers_keep_their_sign():
    assert type(Q.of_width(16, signed=False)) is Q.Float16


def test_signed_fixed_point_of_older_files():
    config = keras.saving.serialize_keras_object(Q.FixedPoint(4))
    del config["config"]["signed"]
    assert Q.get(config).signed


@pytest.mark.parametrize(
    "make",
    [
        lambda q: aqe.layers.QuantDense(4, kernel_quantizer=q),
        lambda q: aqe.layers.QuantConv2D(4, 3, kernel_quantizer=q),
    ],
)
def test_kernels_need_both_signs(make):
    with pytest.raises(ValueError, match="signed=False.*both signs"):
        make("unsigned_2")


def test_no_quantizer():
    assert Q.get(None) is None
    assert Q.of_width(32) is None
    assert Q.of_width(32, signed=False) is None


@pytest.mark.parametrize(
    "identifier", ["trinary", "po2", "po2_x", "po2_", "unsigned", 3]
)
def test_unknown_quantizers(identifier):
    with pytest.raises(ValueError, match="must be a .*Received"):
        Q.get(identifier)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Q.of_width(5), "one of"),
        (lambda: Q.Binary(estimator="swish"), "`estimator` must be one of"),
        (lambda: Q.PowerOfTwo(bits=1), "Binary"),
        (lambda: Q.PowerOfTwo(bits=7), "from 2 to 6"),
        (lambda: Q.PowerOfTwo(3, thresholds=[0.1, 0.2]), "must be 3"),
        (lambda: Q.PowerOfTwo(3, thresholds=[0.3, 0.2, 0.4]), "ascending"),
        (lambda: Q.PowerOfTwo(3, thresholds=[-0.1, 0.2, 0.4]), "negative"),
        (lambda: Q.Ternary(0.5, stochastic=True), "thresholds"),
        (lambda: Q.Float16(stochastic=True), "stochastic"),
        (lambda: Q.Float16(scale=2.0), "no `scale`.*2.0"),
        (lambda: Q.Binary(scale=3.0), "power of two.*scale=3.0.*'binary"),
        (lambda: Q.Ternary(scale=0.0), "power of two"),
        (lambda: Q.PowerOfTwo(scale=-2.0), "power of two"),
        (lambda: Q.FixedPoint(scale=2.0**40), "power of two"),
        (lambda: Q.FixedPoint(bits=1), "from 2 to 16"),
        (lambda: Q.FixedPoint(bits=17), "from 2 to 16"),
        (lambda: Q.get("unsigned_0"), "from 1 to 16"),
        (lambda: Q.get("unsigned_17"), "from 1 to 16"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_quantizer_for_input_and_kernel():
    shared = Q.Ternary()
    with pytest.raises(ValueError, match="one quantizer for each"):
        aqe.layers.QuantDense(
            4, input_quantizer=shared, kernel_quantizer=shared
        )


@pytest.mark.parametrize(
    "make",
    [
        lambda q: aqe.layers.QuantActivation(q),
        lambda q: aqe.layers.QuantDense(4, input_quantizer=q),
    ],
)
def test_relative_thresholds_of_inputs(make):
    with pytest.raises(ValueError, match="relative=False"):
        make(Q.Ternary(relative=True))


def test_alpha_is_saved_with_the_model(tmp_path):
    model = keras.Sequential([keras.Input((3,)), Q.Binary()])
    model.layers[0].alpha.assign(0.8125)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert float(again.layers[0].alpha) == 0.8125
