"""Each layer against the Keras layer on quantized input and kernel."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_aqe as aqe
from tests.combinations import each_once
from tests.keras_aqe.tensors import array

L = aqe.layers
# Quantized layer, Keras layer, first arguments, spatial rank
CASES = {
    "conv1d": (L.QuantConv1D, keras.layers.Conv1D, (4, 3), 1),
    "conv2d": (L.QuantConv2D, keras.layers.Conv2D, (4, 3), 2),
    "conv3d": (L.QuantConv3D, keras.layers.Conv3D, (4, 2), 3),
    "depthwise": (
        L.QuantDepthwiseConv2D,
        keras.layers.DepthwiseConv2D,
        (3,),
        2,
    ),
    "separable": (
        L.QuantSeparableConv2D,
        keras.layers.SeparableConv2D,
        (4, 3),
        2,
    ),
    "transpose": (
        L.QuantConv2DTranspose,
        keras.layers.Conv2DTranspose,
        (4, 3),
        2,
    ),
    "dense": (L.QuantDense, keras.layers.Dense, (4,), 1),
}
PADDED = ["conv1d", "conv2d", "conv3d", "depthwise", "separable"]
NAMES = ["binary", "ternary", "po2_3"]


def make_input(rank, batch=2, channels=4, size=7):
    shape = (batch, *[size] * rank, channels)
    return np.random.uniform(-1.3, 1.3, shape).astype("float32")


def expected(name, layer, x, kwargs):
    """The Keras layer on what the quantizers make of input and kernels."""
    _, plain, arguments, _ = CASES[name]
    reference = plain(*arguments, **kwargs)
    reference.build(x.shape)
    values = [
        layer.kernel_quantizer.hard(w) if "kernel" in w.name else w
        for w in layer.trainable_variables
    ]
    reference.set_weights([np.array(v) for v in values])
    return reference(layer.input_quantizer.hard(x))


@pytest.mark.slow
@pytest.mark.parametrize("name, quantizer", each_once(list(CASES), NAMES))
@given(data=st.data())
def test_is_the_keras_layer_on_quantized_values(name, quantizer, data):
    cls, _, arguments, rank = CASES[name]
    kwargs = {}
    if name != "dense":
        kwargs["padding"] = data.draw(st.sampled_from(["valid", "same"]))
        kwargs["strides"] = data.draw(st.integers(1, 2))
        if kwargs["strides"] == 1 and name != "transpose":
            kwargs["dilation_rate"] = data.draw(st.integers(1, 2))
        if name in ("conv1d", "conv2d"):
            kwargs["groups"] = data.draw(st.sampled_from([1, 2]))
    x = make_input(rank, size=data.draw(st.integers(5, 7)))
    layer = cls(
        *arguments,
        input_quantizer=quantizer,
        kernel_quantizer=quantizer,
        **kwargs,
    )
    y = layer(x)
    np.testing.assert_allclose(
        y, expected(name, layer, x, kwargs), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
def test_pad_value_is_an_explicit_pad(strides, size):
    x = make_input(2, size=size)
    layer = L.QuantConv2D(
        4,
        3,
        strides=strides,
        padding="same",
        pad_value=1.0,
        input_quantizer="binary",
        kernel_quantizer="binary",
    )
    y = layer(x)
    total = max((-(-size // strides) - 1) * strides + 3 - size, 0)
    pads = [(0, 0), *[(total // 2, total - total // 2)] * 2, (0, 0)]
    padded = np.pad(
        array(layer.input_quantizer.hard(x)), pads, constant_values=1.0
    )
    kernel = layer.kernel_quantizer.hard(layer.kernel)
    expected = keras.ops.conv(padded, kernel, strides, "valid")
    np.testing.assert_array_equal(array(y), array(expected))
    assert layer.compute_output_shape(x.shape) == tuple(y.shape)


def test_pad_value_needs_same_padding():
    with pytest.raises(ValueError, match="padding='same'.*layer 'mine'"):
        L.QuantConv2D(4, 3, pad_value=1.0, name="mine")


def build(name, **kwargs):
    cls, _, arguments, rank = CASES[name]
    if name in PADDED:
        kwargs |= {"padding": "same", "pad_value": 1.0}
    x = make_input(rank)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            cls(
                *arguments,
                input_quantizer="binary",
                kernel_quantizer="ternary",
                **kwargs,
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    return model, x, np.random.normal(size=(len(x), 1)).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_save_and_load(name, tmp_path):
    model, x, _ = build(name)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))
    assert again.layers[0].get_config() == model.layers[0].get_config()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, jit_compile", each_once(list(CASES), [False, True])
)
def test_training_moves_and_clips_the_kernel(name, jit_compile):
    model, x, y = build(name)
    model.compile(keras.optimizers.SGD(50.0), "mse", jit_compile=jit_compile)
    kernels = [
        w for w in model.layers[0].trainable_variables if "kernel" in w.name
    ]
    before = [np.array(w) for w in kernels]
    model.fit(x, y, verbose=0)
    for old, new in zip(before, kernels):
        assert np.any(old != new.numpy())
        assert np.abs(new.numpy()).max() == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, policy",
    [
        ("conv2d", "mixed_float16"),
        pytest.param(
            *("depthwise", "mixed_bfloat16"), marks=pytest.mark.bfloat16
        ),
        ("dense", "mixed_float16"),
        pytest.param("depthwise", "mixed_float16", marks=pytest.mark.long),
        *(
            pytest.param(
                *(name, "mixed_bfloat16"),
                marks=[pytest.mark.bfloat16, pytest.mark.long],
            )
            for name in ("conv2d", "dense")
        ),
    ],
)
def test_mixed_precision(name, policy):
    keras.config.set_dtype_policy(policy)
    model, x, y = build(name)
    layer = model.layers[0]
    seen = []
    hard = layer.kernel_quantizer.hard
    layer.kernel_quantizer.hard = lambda w: seen.append(w) or hard(w)
    model(x)
    assert [keras.backend.standardize_dtype(w.dtype) for w in seen] == [
        "float32"
    ]
    del layer.kernel_quantizer.hard
    model.compile("adam", "mse")
    losses = model.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


@pytest.mark.slow
@pytest.mark.tensorflow
def test_mirrored_strategy(mirrored):
    with mirrored.scope():
        model, x, y = build("dense")
        model.compile("sgd", "mse")
    scheduler = aqe.callbacks.AlphaScheduler(lambda p: 0.5 + p / 2)
    history = model.fit(
        x, y, epochs=2, batch_size=2, verbose=0, callbacks=[scheduler]
    )
    assert history.history["alpha"] == [0.5, 0.75]
    assert np.isfinite(history.history["loss"]).all()


def test_activation_and_hard_tanh():
    x = make_input(1)
    layer = L.QuantActivation("po2_3")
    np.testing.assert_array_equal(layer(x), layer.quantizer.hard(x))
    np.testing.assert_array_equal(L.HardTanh()(x), np.clip(x, -1, 1))
    with pytest.raises(ValueError, match="`quantizer`"):
        L.QuantActivation(None)
