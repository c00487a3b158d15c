"""What `verify` says of correct files, of roundings and of faults."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, models
from keras_aqe.converters import Interpreter, convert, verify
from keras_aqe_runtime.file import flatbuffer, metadata
from tests.combinations import each_once
from tests.converters.networks import TARGETS
from tests.randomised import images, randomise


def tiny(bits=2, **kwargs):
    model = models.MINWNet(
        *("D", bits, bits, (16, 16, 3)), filters=4, dense_units=8, **kwargs
    )
    return randomise(model)


def codes_of_a_float():
    inputs = keras.Input((6,))
    x = layers.QuantDense(5, kernel_quantizer="binary")(inputs)
    x = keras.layers.Activation("swish")(x)
    return keras.Model(inputs, layers.QuantActivation("ternary")(x))


def codes_of_the_input():
    inputs = keras.Input((6, 6, 3))
    x = layers.QuantActivation("po2_3")(inputs)
    x = keras.layers.AveragePooling2D(4, 3, padding="same")(x)
    return keras.Model(
        inputs,
        layers.QuantDense(
            3, kernel_quantizer="binary", input_quantizer="binary"
        )(x),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "network, target",
    each_once(
        [(tiny, 8), (codes_of_a_float, 1), (codes_of_the_input, 2)], TARGETS
    ),
)
def test_correct_files(network, target):
    build, count = network
    model = build()
    x = images(model.input_shape[1:], examples=5)
    converted = convert(model, target, strict=False)
    same = verify(model, converted, x, batch_size=2)
    assert same.examples == 5 and same.labels_equal
    assert same.codes_equal and len(same.code_agreement) == count
    assert same.faultless and not same.within_rounding
    assert "5 examples, 100.00 % of labels equal, faultless" in repr(same)


REORDERINGS = [
    keras.layers.Flatten(),
    keras.layers.Flatten(data_format="channels_first"),
    keras.layers.Permute((2, 1)),
    keras.layers.Reshape((65, -1)),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "quantizer, target", each_once(["po2_3", "ternary", "binary"], TARGETS)
)
def test_codes_of_what_is_reordered(quantizer, target):
    """Whatever the number of channels in front is to that behind."""
    inputs = [keras.Input((4, channels)) for channels in (3, 65, 130)]
    outputs = []
    for index, x in enumerate(inputs):
        # Not the image, and of sums that round.
        x = keras.layers.Activation("swish")(x)
        for layer in REORDERINGS[: 3 + (index > 0)]:
            dense = layers.QuantDense(
                2, input_quantizer=quantizer, kernel_quantizer="binary"
            )
            outputs.append(dense(layer(x)))
    model = keras.Model(inputs, outputs)
    x = [images(t.shape[1:]) for t in inputs]
    converted = convert(model, target, strict=False)
    same = verify(model, converted, x)
    assert same.codes_equal and same.faultless
    names = [layer.name for layer in model.layers if "dense" in layer.name]
    assert sorted(same.code_agreement) == sorted(names)


@pytest.mark.parametrize("as_layer", [True, False])
def test_activations_that_cancel(as_layer):
    """Keras's GELU of -9 is -0, and LiteRT's the tiny number it should be."""
    inputs = keras.Input((9,))
    x = layers.QuantDense(
        9,
        activation=None if as_layer else "gelu",
        use_bias=False,
        kernel_quantizer="binary",
    )(inputs)
    x = keras.layers.Activation("gelu")(x) if as_layer else x
    model = keras.Model(inputs, layers.QuantActivation("binary")(x))
    x = np.sign(np.random.default_rng(0).normal(size=(50, 9))).astype("float32")
    found = verify(model, convert(model, "tflite"), x)
    assert found.faultless
    assert found.codes_equal or found.within_rounding


@pytest.mark.parametrize("outputs", ["codes", "sums"])
def test_what_the_converter_misunderstands(outputs, monkeypatch):
    """The file then is what the converter meant, and not what Keras has."""
    lowering = "keras_aqe.converters.graph.lowering"
    monkeypatch.setattr(f"{lowering}._bias", lambda layer: None)
    inputs = keras.Input((6, 6, 3))
    conv = layers.QuantConv2D(
        4, 3, input_quantizer="binary", kernel_quantizer="binary"
    )
    x = conv(inputs)
    conv.bias.assign([9.0, -9.0, 9.0, -9.0])
    if outputs == "codes":
        x = layers.QuantActivation("binary")(x)
    model = keras.Model(inputs, x)
    found = verify(model, convert(model), images((6, 6, 3)))
    assert not found.faultless and len(found.faults) == 1


@pytest.mark.slow
@pytest.mark.parametrize("target, bits", each_once(TARGETS, [1, 3]))
def test_every_layer_that_is_damaged_is_named(bits, target):
    """Differences that come from an earlier layer are no faults of a later."""
    model = tiny(bits)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(0.1 * np.ones(layer.beta.shape))
            layer.gamma.assign(np.ones(layer.gamma.shape))
            layer.moving_mean.assign(0.3 * np.ones(layer.gamma.shape))
            layer.moving_variance.assign(9 * np.ones(layer.gamma.shape))
    converted = convert(model, target)
    x = images((16, 16, 3), examples=4)
    for name in ("conv1", "conv3", "dense1", "dense3"):
        damaged = with_turned_kernel(converted.flatbuffer, name)
        found = verify(model, damaged, x)
        (faulty,) = found.faults
        assert faulty.removesuffix("_quant").removesuffix("_bn") == name
        assert f"{faulty}: {found.faults[faulty]} values" in str(found)


def with_turned_kernel(file, layer):
    """A file whose operators of a layer have their kernels back to front."""
    parsed = flatbuffer.read(file)
    description = metadata.read(parsed)
    (row,) = [r for r in description["layers"] if r["name"] == layer]
    # Several operators may share one.
    for number in {
        flatbuffer.kernel(parsed, index).buffer for index in row["operators"]
    }:
        parsed.buffers[number].data = parsed.buffers[number].data[::-1]
    return metadata.seal(parsed, description)


@pytest.mark.slow
def test_takes_examples_in_batches(monkeypatch):
    model = tiny()
    converted = convert(model)
    sizes = []
    predict = Interpreter.predict

    def counted(self, x):
        sizes.append(len(x))
        return predict(self, x)

    monkeypatch.setattr(Interpreter, "predict", counted)
    verify(model, converted, images((16, 16, 3), 7), batch_size=3)
    assert sizes == [3, 3, 1]


@pytest.mark.slow
def test_takes_files_and_what_convert_was_told(tmp_path):
    model, image = tiny(), keras.layers.Rescaling(1 / 128, -1)
    converted = convert(model, image=image)
    converted.save(tmp_path / "model.tflite")
    x = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), "uint8")
    path = tmp_path / "model.tflite"
    for file in (converted, converted.flatbuffer, path, str(path)):
        found = verify(model, file, x, image=image)
        assert found.codes_equal and found.labels_equal and found.faultless
        assert not found.within_rounding


@pytest.mark.slow
def test_verify_compares_the_codes_of_every_layer():
    model = randomise(models.MINWNet(filters=4, dense_units=8))
    converted = convert(model, "lce")
    x = images((32, 32, 3))
    same = verify(model, converted, x)
    assert same.codes_equal and len(same.code_agreement) == 8
    kernel = model.get_layer("conv4").kernel
    kernel.assign(-kernel)
    other = verify(model, converted, x)
    assert other.code_agreement["conv3_quant"] == 1
    assert other.code_agreement["conv4_quant"] < 1
    assert "conv4_quant" in str(other) and not other.codes_equal


def test_verify_tells_calls_of_a_shared_quantizer_apart():
    quantizer = layers.QuantActivation("binary", name="sign")
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(2):
        x = layers.QuantConv2D(5, 3, kernel_quantizer="binary")(quantizer(x))
    model = keras.Model(inputs, quantizer(x))
    verification = verify(model, convert(model, "lce"), images((8, 8, 3)))
    assert verification.code_agreement["sign"] == 1
    assert verification.code_agreement["sign#2"] == 1


def test_means_that_are_rounded_to_half_precision_are_no_faults():
    """Engines divide by nine in their own ways, so codes may be neighbours."""
    inputs = keras.Input((12, 12, 3))
    x = layers.QuantConv2D(64, 3, kernel_quantizer="ternary")(inputs)
    x = keras.layers.AveragePooling2D(3, 2, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    x = layers.QuantActivation("float16")(x)
    model = randomise(keras.Model(inputs, x))
    converted = convert(model, "tflite", strict=False)
    verification = verify(model, converted, images((12, 12, 3), 64))
    assert verification.faultless and verification.within_rounding
    assert min(verification.code_agreement.values()) > 0.999
