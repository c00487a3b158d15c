import keras
import numpy as np
import pytest

from keras_aqe.cloning import clone

K = keras.layers


def copy(layer):
    return type(layer).from_config(layer.get_config())


def functional():
    inputs = {"x": keras.Input((3,), name="x")}
    shared = K.Dense(3, name="shared")
    outputs = {"y": shared(shared(inputs["x"]))}
    return keras.Model(inputs, outputs, name="named")


def sequential():
    layers = [keras.Input((3,)), K.Dense(3, name="shared")]
    return keras.Sequential(layers, name="named")


class Model(keras.Model):
    pass


class Sequential(keras.Sequential):
    pass


@pytest.mark.parametrize("build", [functional, sequential])
def test_same_graph_other_layers(build):
    model = build()
    model.compile("sgd", "mse")
    result = clone(model, copy)
    assert result.name == "named" and not result.compiled
    assert isinstance(result, keras.Sequential) == (build is sequential)
    ours = result.get_layer("shared")
    assert ours is not model.get_layer("shared")
    result.set_weights(model.get_weights())
    x = np.ones((2, 3), "float32")
    x = {"x": x} if build is functional else x
    expected, found = model(x), result(x)
    if build is functional:
        expected, found = expected["y"], found["y"]
    np.testing.assert_array_equal(expected, found)


@pytest.mark.parametrize("build", [functional, sequential])
def test_classes_of_ones_own(build):
    result = clone(build(), copy, (Model, Sequential))
    assert type(result) is (Model if build is functional else Sequential)
    assert result.built


class Own(keras.layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=shape[1:], name="factor")

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {}


def test_layers_keep_names_that_their_configuration_lacks():
    layer = Own(name="first")
    result = clone(keras.Sequential([keras.Input((3,)), layer]), copy)
    assert [layer.name for layer in result.layers] == ["first"]
    assert [weight.path for weight in result.weights] == ["first/factor"]
