import keras
import numpy as np
import pytest

import keras_aqe as aqe

K = keras.layers


def network(dense=K.Dense, inner_name="inner", units=3, **kwargs):
    inner = keras.Sequential(
        # Named as a layer outside of it.
        [keras.Input((3, 4)), K.LSTM(3, name="dense")],
        name=inner_name,
    )
    inputs = keras.Input((3, 4))
    x = K.MultiHeadAttention(2, 2, name="attention")(inputs, inputs)
    x = K.BatchNormalization(name="norm")(K.Dropout(0.5, name="drop")(x))
    return keras.Model(inputs, dense(units, name="dense", **kwargs)(inner(x)))


def filled(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 0.9, weight.shape))
    return model


QUANT = {"input_quantizer": "binary", "kernel_quantizer": "ternary"}


def test_from_a_float_model_to_its_twin_and_back():
    source = filled(network())
    target = network(aqe.layers.QuantDense, **QUANT)
    aqe.set_alpha(target, 0.75)
    aqe.copy_weights(source, target)
    # Without its alphas, the twin has the weights in the float one's order.
    found = [w for w in target.weights if "alpha" not in w.name]
    for ours, theirs in zip(found, source.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert {float(q.alpha) for q in aqe.callbacks.find(target)} == {0.75}
    back = network()
    aqe.copy_weights(target, back)
    for ours, theirs in zip(back.get_weights(), source.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


def test_alphas_go_along_between_twins():
    source = filled(network(aqe.layers.QuantDense, **QUANT))
    layer = source.get_layer("dense")
    layer.kernel_quantizer.alpha.assign(0.25)
    layer.kernel_quantizer.trained_alpha.assign(0.5)
    target = network(aqe.layers.QuantDense, **QUANT)
    aqe.copy_weights(source, target)
    quantizer = target.get_layer("dense").kernel_quantizer
    assert float(quantizer.alpha) == 0.25
    assert float(quantizer.trained_alpha) == 0.5


@pytest.mark.parametrize(
    "target, message",
    [
        (lambda: network(units=2), r"dense/kernel.*\(3, 2\).*\(3, 3\)"),
        (lambda: network(inner_name="other"), "no layer 'inner'.*other"),
        (
            lambda: network(use_bias=False),
            "'dense' has no weight 'bias'.*has: kernel",
        ),
        (lambda: keras.Sequential([K.Dense(2)]), "`copy_weights`.*not built"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_copied(target, message):
    target = target()
    before = target.get_weights()
    with pytest.raises(ValueError, match=message):
        aqe.copy_weights(network(), target)
    for ours, theirs in zip(before, target.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


class Scales(K.Layer):
    """Its weights have no names, as in many layers of users."""

    def build(self, shape):
        self.factor = self.add_weight(shape=shape[1:])
        self.offset = self.add_weight(shape=shape[1:])

    def call(self, x):
        return x * self.factor + self.offset


def test_weights_without_names_are_taken_in_order():
    def network():
        return filled(keras.Sequential([keras.Input((3,)), Scales(name="s")]))

    source, target = network(), network()
    target.layers[0].factor.assign(np.zeros(3))
    aqe.copy_weights(source, target)
    for ours, theirs in zip(target.weights, source.weights, strict=True):
        assert ours.name != theirs.name
        np.testing.assert_array_equal(ours, theirs)
    twin = aqe.quantize_model(source, 2, 2)
    np.testing.assert_array_equal(twin.get_weights(), source.get_weights())
