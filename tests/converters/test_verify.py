"""What `verify` says of correct files, of roundings and of faults."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, models
from keras_aqe.converters import Interpreter, convert, verify
from keras_aqe.converters.file import flatbuffer, metadata
from tests.converters.networks import TARGETS, images, randomise


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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "build, count",
    [(tiny, 8), (codes_of_a_float, 1), (codes_of_the_input, 2)],
)
def test_correct_files(build, count, target):
    model = build()
    x = images(model.input_shape[1:], examples=5)
    converted = convert(model, target, strict=False)
    same = verify(model, converted, x, batch_size=2)
    assert same.examples == 5 and same.labels_equal
    assert same.codes_equal and len(same.code_agreement) == count
    assert same.faultless and not same.within_rounding


REORDERINGS = [
    keras.layers.Flatten(),
    keras.layers.Flatten(data_format="channels_first"),
    keras.layers.Permute((2, 1)),
    keras.layers.Reshape((65, -1)),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("quantizer", ["binary", "ternary", "po2_3"])
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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bits", [1, 3])
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


def in_another_order(kernel, order):
    """A first layer on channels in another order, with thresholds at sums."""
    x = inputs = keras.Input((4, 4, 9))
    parts = [x[..., c : c + 1] for c in order]
    x = keras.layers.Concatenate()(parts)
    conv = layers.QuantConv2D(
        kernel.shape[-1], 3, use_bias=False, kernel_quantizer="ternary"
    )
    norm = keras.layers.BatchNormalization(epsilon=0.0)
    x = norm(conv(x))
    x = layers.QuantActivation("binary", name="codes")(x)
    conv2 = layers.QuantConv2D(5, 1, kernel_quantizer="binary", name="conv2")
    x = layers.QuantActivation("binary", name="codes2")(conv2(x))
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    conv.kernel.assign(kernel[:, :, order])
    return model, conv, norm, conv2


@pytest.mark.parametrize("target", TARGETS)
def test_rounding_is_told_from_faults(target):
    random = np.random.default_rng(0)
    kernel = random.uniform(-1, 1, (3, 3, 9, 64))
    x = random.normal(size=(8, 4, 4, 9)).astype("float32")
    one, conv, norm, second = in_another_order(kernel, range(9))
    # The sum of some pixel, another one for each channel.
    sums = conv(x).numpy().reshape(-1, 64)
    means = sums[random.integers(0, len(sums), 64), np.arange(64)]
    norm.moving_mean.assign(means)
    other, _, norm, other_second = in_another_order(kernel, range(9)[::-1])
    norm.moving_mean.assign(means)
    other_second.kernel.assign(second.kernel)
    converted = convert(one, target)
    found = verify(other, converted, x)
    assert found.code_agreement["codes"] < 1
    assert found.faultless
    # At least the pixels that the thresholds are taken from, and few others.
    assert 64 <= found.within_rounding["codes"] < 100
    assert "Rounding of float sums explains" in str(found)
    # A fault behind it is still seen.
    other_second.kernel.assign(-second.kernel)
    assert list(verify(other, converted, x).faults) == ["codes2"]
    other_second.kernel.assign(second.kernel)
    # As is a threshold that is off by more than rounding.
    norm.moving_mean.assign(means + 0.01)
    assert "codes" in verify(other, converted, x).faults


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
