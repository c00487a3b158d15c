"""What a quantizer remembers of its training, and where that goes."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.quantizers import Binary
from tests.keras_aqe.tensors import compiled

X = np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)


def trained(alpha=0.75, **kwargs):
    quantizer = Binary(**kwargs)
    quantizer.alpha.assign(alpha)
    quantizer(X, training=True)
    return quantizer


def test_a_fresh_quantizer_was_trained_at_no_alpha():
    quantizer = Binary()
    quantizer(X)
    quantizer.blend(X)
    assert float(quantizer.alpha) == 0.5
    assert float(quantizer.trained_alpha) == 0
    assert not quantizer.is_soft


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_training_step_records_its_alpha(stochastic):
    quantizer = trained(stochastic=stochastic)
    assert float(quantizer.trained_alpha) == 0.75 and quantizer.is_soft
    # Setting alpha is not training, nor is inference.
    quantizer.alpha.assign(1.0)
    quantizer(X)
    assert quantizer.is_soft
    quantizer(X, training=True)
    assert float(quantizer.trained_alpha) == 1 and not quantizer.is_soft


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_step_records_its_alpha(jit_compile):
    quantizer = Binary()
    step = compiled(lambda x: quantizer(x, training=True), jit_compile)
    for alpha in (0.25, 0.5):
        quantizer.alpha.assign(alpha)
        step(X)
        assert float(quantizer.trained_alpha) == alpha


def test_blends_are_soft_and_the_straight_through_estimator_never():
    assert trained(estimator="aqe_ste").is_soft
    assert not trained(estimator="ste").is_soft


def test_a_symbolic_call_is_no_step():
    quantizer = Binary()
    keras.Model(x := keras.Input((3,)), quantizer(x, training=True))
    assert not quantizer.is_soft


def test_it_goes_where_the_weights_go(tmp_path):
    source = keras.Sequential([keras.Input((3,)), trained()])
    copies = [keras.models.clone_model(source) for _ in range(3)]
    assert not any(model.layers[0].is_soft for model in copies)
    copies[0].set_weights(source.get_weights())
    source.save_weights(tmp_path / "model.weights.h5")
    copies[1].load_weights(tmp_path / "model.weights.h5")
    source.save(tmp_path / "model.keras")
    copies[2] = keras.models.load_model(tmp_path / "model.keras", compile=False)
    for model in copies:
        assert float(model.layers[0].trained_alpha) == 0.75
    for model in copies[1:]:
        assert float(model.layers[0].alpha) == 0.75


def test_alpha_is_a_variable_but_no_weight():
    quantizer = Binary()
    names = [variable.name for variable in quantizer.non_trainable_variables]
    assert names == ["alpha", "trained_alpha"]
    assert len(quantizer.get_weights()) == 1


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_a_file_without_the_record_counts_as_trained_at_its_alpha(alpha):
    quantizer = Binary()
    quantizer.load_own_variables({"0": np.float32(alpha)})
    assert float(quantizer.alpha) == float(quantizer.trained_alpha) == alpha


@pytest.mark.slow
@pytest.mark.tensorflow
def test_replicas_record_alpha(mirrored):
    with mirrored.scope():
        layer = aqe.layers.QuantDense(
            2, input_quantizer="binary", kernel_quantizer="ternary"
        )
        model = keras.Sequential([keras.Input((3,)), layer])
        model.compile("sgd", "mse")
    model.fit(X, X[:, :2], batch_size=4, verbose=0)
    assert layer.input_quantizer.is_soft and layer.kernel_quantizer.is_soft
