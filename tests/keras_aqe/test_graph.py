import pathlib
import re

import keras
import numpy as np
import pytest

from keras_aqe.graph import Call, as_inputs, functional, run

K = keras.layers


def model():
    layers = [keras.Input((4,)), K.Dense(4, name="dense")]
    inner = keras.Sequential(layers, name="inner")
    first, second = keras.Input((4,), name="first"), keras.Input((4,))
    x = K.Dropout(0.5)(inner(inner(K.Add(name="add")([first, second]))))
    outputs = {"b": keras.ops.relu(x), "a": K.BatchNormalization()(x)}
    return keras.Model([first, second], outputs)


def test_runs_what_the_model_computes():
    network, paths = model(), []
    x = list(np.random.default_rng(0).normal(size=(2, 3, 4)))

    def visit(call):
        paths.append(call.path)
        return call.infer()

    a, b = run(network, as_inputs(network, x, "data"), visit)
    expected = network(x, training=False)
    np.testing.assert_array_equal(a, expected["a"])
    np.testing.assert_array_equal(b, expected["b"])
    assert paths.count("inner/dense") == 2 and "add" in paths


def test_values_may_be_anything():
    network = model()
    seen = []

    def visit(call):
        seen.append(call.values(str))
        doubled = call.map(lambda x: x * 2 if isinstance(x, str) else x)
        return "".join(doubled.values(str))

    a, b = run(network, ["x", "y"], visit)
    # Twice in each layer: add, dense, dense, dropout and the last one.
    assert a == b and len(a) == 2 * 2**5
    assert seen[0] == ["x", "y"]


@pytest.mark.parametrize("named", [False, True])
def test_inputs_by_name_or_in_order(named):
    first, second = keras.Input((2,), name="b"), keras.Input((2,), name="a")
    network = keras.Model([first, second], first - second)
    b, a = np.ones((1, 2)), np.zeros((1, 2))
    data = {"a": a, "b": b} if named else [b, a]
    np.testing.assert_array_equal(as_inputs(network, data, "data")[0], b)
    with pytest.raises(ValueError, match=r"`x`.*\(2 of them\).*of 1"):
        as_inputs(network, b, "x")


@pytest.mark.parametrize("shape", [(1, 3), (2,), (1, 2, 2)])
def test_inputs_of_another_shape_are_refused(shape):
    inputs = keras.Input((2,), name="row")
    network = keras.Model(inputs, inputs * 2, name="double")
    message = f"`data`: input 'row' of model 'double' .*{re.escape(f'{shape}')}"
    with pytest.raises(ValueError, match=message):
        as_inputs(network, np.ones(shape), "data")


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: keras.Sequential([K.Dense(2)]), "`f`.*not built.*keras.Input"),
        (Subclassed, "`f` takes Functional.*Subclassed.*model.call"),
        (lambda: K.Dense(2, name="x"), "Received: Dense 'x'"),
        (lambda: "a/b.keras", "path 'a/b.keras'.*load_model"),
        (lambda: pathlib.Path("b.keras"), "path 'b.keras'.*load_model"),
    ],
)
def test_models_without_a_graph_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        functional(build(), "f")


def test_a_call_knows_its_operation():
    network = model()
    operations = []
    run(network, [0, 0], lambda call: operations.append(call.operation) or [0])
    assert network.get_layer("add") in operations
    assert all(hasattr(Call, name) for name in ("infer", "map", "values"))
