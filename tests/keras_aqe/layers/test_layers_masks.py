"""Masks go through our layers as through those of Keras."""

import warnings

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import layers
from tests.keras_aqe.tensors import array

K = keras.layers
BITS = {"input_quantizer": "ternary", "kernel_quantizer": "ternary"}
# Our layer, and the layer of Keras that it stands beside.
PAIRS = {
    "HardTanh": (layers.HardTanh, lambda: K.Activation("tanh")),
    "QuantActivation": (
        lambda: layers.QuantActivation("binary"),
        lambda: K.Activation("tanh"),
    ),
    **{
        name: (lambda name=name: aqe.quantizers.get(name), K.Identity)
        for name in ("binary", "ternary", "po2_3", "fixed_8", "float16")
    },
    "QuantDense": (lambda: layers.QuantDense(4, **BITS), lambda: K.Dense(4)),
    "TimeDistributed": (
        lambda: K.TimeDistributed(layers.QuantDense(4, **BITS)),
        lambda: K.TimeDistributed(K.Dense(4)),
    ),
    "QuantConv1D": (
        lambda: layers.QuantConv1D(4, 1, **BITS),
        lambda: K.Conv1D(4, 1),
    ),
    "Sequential": (
        lambda: keras.Sequential(
            [layers.HardTanh(), layers.QuantDense(4, **BITS)]
        ),
        lambda: keras.Sequential([K.Activation("tanh"), K.Dense(4)]),
    ),
}


def sequences():
    x = np.random.uniform(-2, 2, (3, 5, 4)).astype("float32")
    x[0, 3:] = x[2, 1:] = 0
    return x


def mask_and_warnings(layer, masked, **kwargs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mask = getattr(layer(masked, **kwargs), "_keras_mask", None)
    dropped = [w for w in caught if "destroy the mask" in str(w.message)]
    return mask, len(dropped)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_is_as_in_keras(name, training):
    x = sequences()
    ours, theirs = (make() for make in PAIRS[name])
    kwargs = {"training": training} if ours._call_has_training_arg else {}
    mask, dropped = mask_and_warnings(ours, K.Masking()(x), **kwargs)
    expected, warned = mask_and_warnings(theirs, K.Masking()(x))
    assert dropped == warned
    if expected is None:
        assert mask is None
    else:
        np.testing.assert_array_equal(array(mask), np.any(x != 0, axis=-1))


def test_masked_steps_do_not_count_behind_our_layers(tmp_path):
    """The mean over the steps of each sequence, one sequence at a time."""
    inputs = keras.Input((5, 4))
    masked = K.Masking()(inputs)
    x = layers.HardTanh()(layers.QuantDense(6, **BITS)(masked))
    x = aqe.quantizers.Ternary()(layers.QuantActivation("po2_3")(x))
    model = keras.Model(inputs, K.GlobalAveragePooling1D()(x))
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    sequence = sequences()
    steps = keras.Model(model.inputs, model.layers[-2].output)(sequence)
    (steps,) = keras.tree.flatten(steps)
    for values, mean, x in zip(array(steps), array(model(sequence)), sequence):
        kept = np.any(x != 0, axis=-1)
        expected = values[kept].mean(axis=0)
        np.testing.assert_allclose(mean, expected, atol=1e-6)
