import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import find
from keras_aqe.metrics import FlipRatio, QuantizationGap
from tests import reference


def network(quantizer="binary"):
    """Three quantized kernels, one of them nested, and a float one."""
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            aqe.layers.QuantDense(3, kernel_quantizer=quantizer),
        ]
    )
    inputs = keras.Input((6, 6, 2))
    x = aqe.layers.QuantSeparableConv2D(4, 3, kernel_quantizer=quantizer)(
        inputs
    )
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="float")(inner(x)))


def kernels(model):
    return [
        weight
        for weight in model.trainable_weights
        if "kernel" in weight.path and not weight.path.startswith("float")
    ]


def set_kernels(model, seed):
    random = np.random.RandomState(seed)
    values = [
        random.uniform(-1, 1, k.shape).astype("f") for k in kernels(model)
    ]
    for kernel, value in zip(kernels(model), values):
        kernel.assign(value)
    return values


def hard(value, quantizer):
    if quantizer == "binary":
        return reference.binary(value)
    bits = {"ternary": 2, "po2_3": 3}[quantizer]
    scale = (1.4 if bits == 2 else 2.5) * np.abs(value).mean()
    return reference.power_of_two(
        value, bits, [scale * t for t in reference.midpoints(bits)]
    )


@pytest.mark.parametrize("quantizer", ["binary", "ternary", "po2_3"])
def test_flip_ratio(quantizer):
    model, metric = network(quantizer), FlipRatio()
    states = []
    for seed in range(3):
        states.append([hard(v, quantizer) for v in set_kernels(model, seed)])
        metric.update_state(model)
    changed = [
        (now != before).ravel()
        for earlier, later in zip(states, states[1:])
        for now, before in zip(later, earlier)
    ]
    assert len(kernels(model)) == 3
    expected = np.concatenate(changed).mean()
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_flip_ratio_remembers_codes_over_a_reset():
    model, metric = network(), FlipRatio()
    set_kernels(model, 0)
    metric.update_state(model)
    metric.reset_state()
    assert float(metric.result()) == 0
    for kernel in kernels(model):
        kernel.assign(-kernel)
    metric.update_state(model)
    assert float(metric.result()) == 1
    metric.update_state(model)
    assert float(metric.result()) == 0.5


@pytest.mark.parametrize("quantizer", ["binary", "ternary", "po2_3"])
@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.0])
def test_quantization_gap(quantizer, alpha):
    model = network(quantizer)
    values = set_kernels(model, 0)
    for each in find(model):
        each.alpha.assign(alpha)
    metric = QuantizationGap()
    metric.update_state(model)
    gaps = [
        np.abs((1 - alpha) * (v - hard(v, quantizer))).ravel() for v in values
    ]
    expected = np.concatenate(gaps).mean()
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-5, atol=1e-7)


def test_ste_has_no_gap():
    layer = aqe.layers.QuantDense(
        3, kernel_quantizer=aqe.quantizers.Binary(estimator="ste")
    )
    model = keras.Sequential([keras.Input((4,)), layer])
    metric = QuantizationGap()
    metric.update_state(model)
    assert float(metric.result()) == 0


@pytest.mark.parametrize("metric", [FlipRatio, QuantizationGap])
def test_a_model_without_quantized_kernels(metric):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="no quantized kernel"):
        metric().update_state(model)


@pytest.mark.parametrize("metric", [FlipRatio, QuantizationGap])
def test_config(metric):
    again = metric.from_config(metric(name="other").get_config())
    assert again.name == "other"
