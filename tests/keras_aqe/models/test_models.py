"""AlexNet, the ResNets and DenseNet: sizes, widths, training, conversion."""

import math

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import converters, runtime
from tests.combinations import each_once
from tests.randomised import images, randomise

TINY = {
    "AlexNet": dict(
        input_shape=(57, 60, 3), filters=(4, 6, 8, 8, 6), dense_units=16
    ),
    "ResNet18": dict(input_shape=(96, 66, 3), filters=4),
    "ResNet20": dict(input_shape=(12, 11, 3), filters=4),
    "ResNet110": dict(input_shape=(12, 11, 3), filters=4, depth=8),
    "DenseNet100": dict(input_shape=(12, 15, 3), growth_rate=4, depth=10),
}


# A ResNet20 is a ResNet110 of another depth, which here is the larger one.
EACH = [
    pytest.param(name, marks=pytest.mark.long if name == "ResNet20" else ())
    for name in TINY
]


def tiny(name, input_bits=1, weight_bits=1, **kwargs):
    arguments = {**TINY[name], "classes": 3, **kwargs}
    return getattr(aqe.models, name)(input_bits, weight_bits, **arguments)


def some_images(name, examples=4):
    return images(TINY[name]["input_shape"], examples)


def parameters(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


# AlexNet: its 61,090,496 weights (Krizhevsky, 2014; 61,100,840 with biases in
# torchvision), batch normalisation after seven layers and 1,000 biases.
# ResNet-18: torchvision's 11,689,512 less the batch normalisation of three
# shortcuts, which pre-activation does not have.
# ResNet-20 and ResNet-110: 0.27 M and 1.7 M in He et al., 2015, Table 6.
# DenseNet: 0.8 M and 7.0 M in Huang et al., 2017, Table 2.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, arguments, number",
    [
        ("AlexNet", {}, 61_110_184),
        ("ResNet18", {}, 11_689_512 - 2 * (128 + 256 + 512)),
        ("ResNet20", {}, 269_722),
        # As ResNet20, of more layers.
        pytest.param("ResNet110", {}, 1_727_962, marks=pytest.mark.long),
        ("DenseNet100", {}, 769_162),
        ("DenseNet100", {"bottleneck": False, "compression": 1.0}, 6_979_642),
    ],
)
def test_parameters_of_the_literature(name, arguments, number):
    model = getattr(aqe.models, name)(32, 32, **arguments)
    assert parameters(model) == number


@pytest.mark.slow
def test_weights_of_alexnet():
    table = aqe.summary(aqe.models.AlexNet(), print_fn=str)
    assert table.weights == 61_090_496


def layers_with_kernels(model):
    return [layer for layer in model.layers if hasattr(layer, "kernel")]


# Each network and each pair of widths: all are built by the same functions.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, bits",
    each_once(list(TINY), [(1, 2), (3, 1), (2, 32), (32, 3), (16, 4)]),
)
def test_widths(name, bits):
    first, *others = aqe.summary(tiny(name, *bits), print_fn=str).rows
    assert (first.input_bits, first.weight_bits) == (32, bits[1])
    assert {(row.input_bits, row.weight_bits) for row in others} == {bits}


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_first_and_last_layer_in_float(name):
    model = tiny(name, 2, 1, quantize_first=False, quantize_last=False)
    rows = aqe.summary(model, print_fn=str).rows
    assert (rows[0].input_bits, rows[0].weight_bits) == (32, 32)
    assert (rows[-1].input_bits, rows[-1].weight_bits) == (32, 32)
    assert (rows[1].input_bits, rows[1].weight_bits) == (2, 1)
    assert layers_with_kernels(model)[-1].use_bias


@pytest.mark.slow
def test_float_shortcuts():
    model = tiny("ResNet18", 2, 1, quantize_shortcut=False)
    rows = aqe.summary(model, print_fn=str).rows
    shortcuts = [row for row in rows if row.name.endswith("_shortcut")]
    assert len(shortcuts) == 3
    for row in shortcuts:
        assert (row.input_bits, row.weight_bits) == (32, 32)


def residual_sums(model, x, training=False):
    adds = [x for x in model.layers if isinstance(x, keras.layers.Add)]
    outputs = [adds[0].output, adds[-1].output]
    sums = keras.Model(model.input, outputs)(x, training=training)
    return [np.asarray(each, "float64") for each in sums]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, bits", each_once(["ResNet18", "ResNet110"], [(1, 1), (2, 3)])
)
def test_residual_sums_are_not_rounded(name, bits):
    """Whole multiples of 2^-14 that fit into the 24 bits of a float32."""
    for sums in residual_sums(tiny(name, *bits), some_images(name)):
        multiples = sums * 2**14
        np.testing.assert_array_equal(multiples, np.rint(multiples))
        assert np.abs(multiples).max() < 2**24


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, arguments", [("ResNet18", {}), ("ResNet110", {"depth": 20})]
)
def test_residual_sums_start_near_unit_variance(name, arguments):
    # Hard in training too, where batch normalisation goes by the batch.
    model = tiny(name, 2, 2, filters=16, estimator="ste", **arguments)
    x = np.random.normal(size=(16, *model.input_shape[1:])).astype("float32")
    for sums in residual_sums(model, x, training=True):
        assert 0.3 < sums.std() < 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet18", "ResNet110", "DenseNet100"])
def test_no_quantizer_stands_between_the_sums(name):
    """From sum to sum (or concatenation), one way passes no quantizer."""
    model = tiny(name, 1, 1)
    merges = [
        layer
        for layer in model.layers
        if isinstance(layer, (keras.layers.Add, keras.layers.Concatenate))
    ]
    assert (
        len(merges) == {"ResNet18": 8, "ResNet110": 3, "DenseNet100": 3}[name]
    )
    for layer in merges:
        for source in layer.input:
            while not isinstance(
                source._keras_history.operation,
                (
                    keras.layers.Add,
                    keras.layers.Concatenate,
                    aqe.layers.QuantConv2D,
                    keras.layers.Conv2D,
                ),
            ):
                operation = source._keras_history.operation
                assert not isinstance(
                    operation, (aqe.layers.QuantActivation, aqe.layers.HardTanh)
                )
                (source,) = operation._inbound_nodes[0].input_tensors


@pytest.mark.parametrize("name", TINY)
def test_a_float_network_has_neither_quantizer_nor_hard_tanh(name):
    model = tiny(name, 32, 32)
    for layer in model._flatten_layers():
        assert not isinstance(
            layer, (aqe.quantizers.Quantizer, aqe.layers.HardTanh)
        )


def test_parameter_free_shortcut():
    """Every second pixel, new channels zero."""
    model = tiny("ResNet110", 32, 32)
    add = model.get_layer("stage2_block1_add")
    block, shortcut = keras.Model(
        model.input, [model.get_layer("stage1_block1_add").output, add.input[0]]
    )(some_images("ResNet110"))
    expected = np.zeros(shortcut.shape)
    expected[..., :4] = block[:, ::2, ::2]
    np.testing.assert_array_equal(shortcut, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_training_saving_and_loading(name, tmp_path):
    model = tiny(name, 1, 3)
    x = some_images(name)
    before = model.get_weights()
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(
        x,
        np.ones((4, 3)),
        epochs=1,
        verbose=0,
        callbacks=[aqe.callbacks.AlphaScheduler()],
    )
    for weight in model.get_weights():
        assert np.isfinite(weight).all()
    for layer in layers_with_kernels(model):
        assert any(
            (old != layer.get_weights()[0]).any()
            for old in before
            if old.shape == layer.get_weights()[0].shape
        )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))


CONVERSIONS = [("tflite", (1, 1)), ("lce", (1, 1)), ("packed", (2, 3))]
CONVERTED = ["DenseNet100", "ResNet18", "ResNet110", "AlexNet"]


# Every network and every target; all pairs of them take half a minute.
@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name, conversion", each_once(CONVERTED, CONVERSIONS))
def test_conversion(name, conversion):
    target, bits = conversion
    if target == "lce":
        pytest.importorskip("larq_compute_engine")
    if target == "packed":
        try:
            runtime.library_path()
        except RuntimeError as error:
            pytest.skip(str(error))
    model = randomise(tiny(name, *bits))
    converted = converters.convert(model, target=target)
    x = some_images(name)
    verification = converters.verify(model, converted, x)
    assert verification.labels_equal
    assert verification.codes_equal
    rows = aqe.summary(model, print_fn=str).rows
    quantized = [row.name for row in rows if row.weight_bits < 32]
    assert [row.name for row in converted.report] == quantized


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("AlexNet", {"filters": (4, 4)}, "five.*4, 4"),
        ("AlexNet", {"input_shape": (32, 32, 3)}, "at least 57"),
        ("AlexNet", {"weight_bits": 8}, "`weight_bits`"),
        ("ResNet18", {"input_bits": 5}, "Received: 5"),
        ("ResNet18", {"input_shape": (224, 224)}, "height, width, channels"),
        ("ResNet110", {"depth": 100}, "6 n.*depth=100"),
        ("DenseNet100", {"depth": 99}, "3 n.*depth=99"),
        ("DenseNet100", {"depth": 37}, "bottleneck=True"),
        ("DenseNet100", {"compression": 0.0}, "compression=0.0"),
    ],
)
def test_bad_arguments(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(aqe.models, name)(**arguments)
