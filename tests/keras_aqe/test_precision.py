"""Float32 copies, against the same network built in float32."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import converters
from keras_aqe.callbacks import find
from keras_aqe.layers import HardTanh, QuantActivation, QuantConv2D, QuantDense
from tests.randomised import images, randomise

K = keras.layers
POLICIES = ["mixed_float16", "mixed_bfloat16", "bfloat16"]


def network():
    shared = aqe.quantizers.Ternary()
    inner = keras.Sequential(
        [
            QuantActivation(shared),
            QuantConv2D(4, 3, padding="same", kernel_quantizer="ternary"),
            K.BatchNormalization(),
        ],
        name="inner",
    )
    image = keras.Input((6, 6, 2), name="image")
    scale = keras.Input((1,), name="scale")
    x = QuantConv2D(4, 3, kernel_quantizer="binary")(image)
    x = HardTanh()(K.BatchNormalization()(x))
    x = keras.ops.pad(x, [(0, 0), (1, 0), (0, 1), (0, 0)])
    # Called twice, and with it the quantizer that is used here too.
    x = K.Flatten()(shared(inner(inner(x))))
    x = QuantDense(3, kernel_quantizer="po2_3")(x)
    outputs = {"scores": K.Multiply(dtype="float32")([x, scale])}
    return keras.Model({"image": image, "scale": scale}, outputs)


def inputs():
    return {"image": images((6, 6, 2)), "scale": images((1,), seed=1)}


def under(policy, build):
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [False, True], ids=["built", "loaded"])
@pytest.mark.parametrize("policy", POLICIES)
def test_is_the_network_built_in_float32(policy, loaded, tmp_path):
    model = randomise(under(policy, network))
    for quantizer in find(model):
        quantizer.alpha.assign(0.25)
    if loaded:
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
    # The policy of the moment is of no account.
    copy = under(policy, lambda: aqe.to_float32(model))
    expected = network()
    for ours, theirs in zip(expected.variables, model.variables, strict=True):
        ours.assign(keras.ops.convert_to_numpy(theirs))
    np.testing.assert_array_equal(
        copy(inputs())["scores"], expected(inputs())["scores"]
    )
    assert [float(q.alpha) for q in find(copy)] == [0.25] * 4
    assert copy.get_layer("inner").layers[0].quantizer in copy.layers
    assert model.get_layer("inner").layers[1].compute_dtype != "float32"


@pytest.mark.slow
@pytest.mark.tensorflow
def test_converts():
    model = under("mixed_float16", network)
    with pytest.raises(converters.ConversionError, match="float16.*to_float32"):
        converters.convert(model)
    copy = aqe.to_float32(model)
    x = inputs()
    verification = converters.verify(copy, converters.convert(copy), x)
    assert verification.labels_equal and verification.codes_equal


@pytest.mark.tensorflow
def test_a_layer_without_weights_counts_too():
    halves = HardTanh(dtype="mixed_float16", name="halves")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            QuantDense(3, kernel_quantizer="binary"),
            halves,
            QuantDense(3, input_quantizer="binary", kernel_quantizer="binary"),
        ]
    )
    with pytest.raises(converters.ConversionError, match="'halves'.*float16"):
        converters.convert(model)
    converters.convert(aqe.to_float32(model))


@pytest.mark.slow
def test_a_compiled_sequential_model_stays_one():
    def loss(y, prediction):
        return keras.ops.mean((y - prediction) ** 2)

    model = under(
        "mixed_float16",
        lambda: keras.Sequential(
            [keras.Input((4,)), QuantDense(3, kernel_quantizer="binary")],
            name="mine",
        ),
    )
    model.compile("adam", loss)
    model.fit(images((4,)), np.zeros((3, 3)), verbose=0)
    copy = aqe.to_float32(model)
    assert isinstance(copy, keras.Sequential) and copy.name == "mine"
    assert not copy.compiled
    assert [x.name for x in copy.layers] == [x.name for x in model.layers]
    assert find(copy)[0].is_soft
    copy.compile("adam", "mse")
    copy.fit(images((4,)), np.zeros((3, 3)), verbose=0)


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    "make", [Subclassed, lambda: keras.Sequential([K.Dense(2)])]
)
def test_models_that_cannot_be_copied(make):
    with pytest.raises(ValueError, match="`to_float32` (takes|needs)"):
        aqe.to_float32(make())
