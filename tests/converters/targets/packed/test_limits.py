"""The limits of packed files: one list, kept by converter and runtime."""

import pathlib
import re

import keras
import numpy as np
import pytest
from flatbuffers import flexbuffers

from keras_aqe import converters, layers
from keras_aqe.converters.targets.packed import limits
from keras_aqe_runtime.file import flatbuffer
from tests.runtime.engines import interpreter
from tests.runtime.packed_files import PackedFile, pack_weights

ROOT = pathlib.Path(__file__).parents[4]
K = keras.layers


def test_one_list():
    header = (ROOT / "runtime/include/keras_aqe/limits.h").read_text()
    found = re.findall(r"constexpr int k(\w+) = (-?\d+);", header)
    own = {
        name.title().replace("_", ""): value
        for name, value in vars(limits).items()
        if name.isupper()
    }
    assert {name: int(value) for name, value in found} == own

    page = (ROOT / "docs/format.md").read_text()
    section = page.split("## Limits")[1].split("##")[0]
    numbers = set(map(int, re.findall(r"-?\d+", section)))
    assert numbers == set(own.values())


# The runtime at each limit and beyond it. A file has one operator.


def allocates(name, shape, dtype, out_shape, out_dtype, constants, options):
    file = PackedFile()
    source = file.tensor(shape, dtype)
    inputs = [source, *(file.constant(values) for values in constants)]
    target = file.tensor(out_shape, out_dtype)
    file.operator(name, inputs, [target], {"format": 1, **options})
    try:
        interpreter(file.write([source], [target])).allocate_tensors()
    except RuntimeError as error:
        assert "keras-aqe: " in str(error)
        return False
    return True


WINDOW = {
    f"{part}_{axis}": 1
    for part in ("kernel", "stride", "dilation")
    for axis in ("height", "width")
}


def convolves(width, dtype="int64", taps=1, **options):
    """Whether a convolution of ±1 over one row can be prepared."""
    bits = 1 if dtype == "int64" else 32
    return allocates(
        "AqeConv2D",
        (1, 1, width, 1),
        dtype,
        (1, 1, 1, 1),
        "float32",
        [pack_weights(np.ones((1, taps)), 1), *np.ones((2, 1), "f4")],
        {
            "input_channels": 1,
            "input_bits": bits,
            "output_channels": 1,
            "output_bits": 32,
            "weight_bits": 1,
            "padding": 0,
            **WINDOW,
            "kernel_width": taps,
            **options,
        },
    )


@pytest.mark.parametrize("beyond", (0, 1))
@pytest.mark.parametrize("name", ("kernel", "stride", "dilation"))
def test_window_of_a_convolution(name, beyond):
    size = limits.MAX_WINDOW + beyond
    taps, options = (size, {}) if name == "kernel" else (2, {})
    if name != "kernel":
        options = {f"{name}_width": size}
    width = 70000
    numbers = {"kernel": 1, "stride": 1, "dilation": 1, name: size}
    allowed = limits.of_window(
        (1, width),
        (1, taps),
        (1, numbers["stride"]),
        (1, numbers["dilation"]),
    )
    assert convolves(width, taps=taps, **options) == (allowed is None)
    assert (allowed is None) == (not beyond)


@pytest.mark.parametrize("beyond", (0, 1))
@pytest.mark.parametrize("name", ("pool", "pool_stride"))
@pytest.mark.parametrize("operator", ("AqeMaxPool2D", "AqeAveragePool2D"))
def test_window_of_a_pool(operator, name, beyond):
    sizes = {"pool": 1, "pool_stride": 1, name: limits.MAX_WINDOW + beyond}
    allowed = limits.of_window(
        (1, 70000), (1, sizes["pool"]), (1, sizes["pool_stride"])
    )
    is_max = operator == "AqeMaxPool2D"
    options = {
        "input_channels": 1,
        "input_bits": 1,
        "output_bits": 1 if is_max else 32,
        "pool_height": 1,
        "pool_stride_height": 1,
        "pool_width": sizes["pool"],
        "pool_stride_width": sizes["pool_stride"],
        "pool_padding": 0,
    }
    accepted = allocates(
        operator,
        (1, 1, 70000, 1),
        "int64",
        (1, 1, 1, 1),
        "int64" if is_max else "float32",
        [] if is_max else list(np.ones((2, 1), "f4")),
        options,
    )
    assert accepted == (allowed is None) == (not beyond)


@pytest.mark.parametrize("beyond", (0, 1))
def test_reach_of_a_window(beyond):
    # 2 * reach + width at the limit, and the padding that leaves one output.
    taps, dilation = 32768, 16384
    reach = (taps - 1) * dilation + 1
    width = limits.MAX_SIZE - 2 * reach + beyond
    allowed = limits.of_window((1, width), (1, taps), (1, 1), (1, dilation))
    accepted = convolves(
        width,
        taps=taps,
        dilation_width=dilation,
        padding=2,
        pad_top=0,
        pad_bottom=0,
        pad_left=0,
        pad_right=reach - width,
    )
    assert accepted == (allowed is None) == (not beyond)


@pytest.mark.parametrize("code", (-129, -128, -1, 127, 128))
def test_pad_value(code):
    accepted = convolves(4, "float32", taps=2, pad_value=code)
    assert accepted == limits.holds_pad(code) == (-128 <= code <= 127)


@pytest.mark.parametrize("beyond", (0, 1))
@pytest.mark.parametrize("end", ("input", "output"))
def test_channels(end, beyond):
    channels = {"input": 1, "output": 1, end: limits.MAX_CHANNELS + beyond}
    allowed = limits.of_tensor((None, channels[end]), 32)
    accepted = allocates(
        "AqeFullyConnected",
        (1, channels["input"]),
        "float32",
        (1, channels["output"]),
        "float32",
        [
            np.zeros((1, -(-channels[end] // 8)), "uint8"),
            *np.ones((2, channels["output"]), "f4"),
        ],
        {
            "input_channels": channels["input"],
            "input_bits": 32,
            "weight_bits": 1,
            "output_channels": channels["output"],
            "output_bits": 32,
        },
    )
    assert accepted == (allowed is None) == (not beyond)


@pytest.mark.parametrize("beyond", (0, 1))
def test_sum(beyond):
    levels = np.array([-64, 64])
    terms = limits.MAX_SUM // 64**2 + beyond
    allowed = limits.of_sum(terms, levels, levels)
    accepted = allocates(
        "AqeFullyConnected",
        (1, -(-terms // 64) * 4),
        "int64",
        (1, 1),
        "float32",
        [np.zeros((4, -(-terms // 8)), "uint8"), *np.ones((2, 1), "f4")],
        {
            "input_channels": terms,
            "input_bits": 4,
            "weight_bits": 4,
            "output_channels": 1,
            "output_bits": 32,
        },
    )
    assert accepted == (allowed is None) == (not beyond)


def test_bytes_of_a_tensor():
    """Without the runtime, which would need 2 GiB for the one below."""
    pixels = limits.MAX_TENSOR_BYTES // 8
    assert limits.of_tensor((None, pixels, 64), 1) is None
    assert "bytes" in limits.of_tensor((None, pixels + 1, 64), 1)
    assert limits.of_tensor((None, limits.MAX_SIZE, 1), 8) is None
    beyond = limits.of_tensor((None, limits.MAX_SIZE + 1, 1), 8)
    assert "positions" in beyond


# The converter with smaller limits, at which every layer is cheap.

CODES = {"input_quantizer": "ternary", "kernel_quantizer": "ternary"}


def quantized(x):
    return layers.QuantActivation("ternary")(x)


def norm(x):
    return K.BatchNormalization()(x)


NETWORKS = {
    "conv1d": ((12, 3), lambda x: layers.QuantConv1D(4, 3, **CODES)(x)),
    "conv1d, apart": (
        (12, 3),
        lambda x: layers.QuantConv1D(4, 2, dilation_rate=3, **CODES)(x),
    ),
    "conv2d": (
        (6, 6, 3),
        lambda x: layers.QuantConv2D(4, (1, 3), strides=(3, 1), **CODES)(x),
    ),
    "conv2d on an image": (
        (6, 6, 3),
        lambda x: layers.QuantConv2D(
            4, 3, kernel_quantizer="ternary", padding="same", pad_value=1.0
        )(x),
    ),
    "depthwise": (
        (6, 6, 3),
        lambda x: layers.QuantDepthwiseConv2D(
            3,
            input_quantizer="ternary",
            kernel_quantizer="ternary",
            depth_multiplier=2,
        )(x),
    ),
    "separable": (
        (6, 6, 3),
        lambda x: layers.QuantSeparableConv2D(4, 3, **CODES)(x),
    ),
    "transposed": (
        (4, 4, 3),
        lambda x: layers.QuantConv2DTranspose(4, 3, strides=2, **CODES)(x),
    ),
    "dense": ((12,), lambda x: layers.QuantDense(4, **CODES)(x)),
    "dense of floats": (
        (12,),
        lambda x: layers.QuantDense(4, kernel_quantizer="ternary")(x),
    ),
    "flatten": (
        (2, 3, 2),
        lambda x: layers.QuantDense(4, kernel_quantizer="ternary")(
            K.Flatten()(quantized(x))
        ),
    ),
    "reshape": (
        (2, 12),
        lambda x: layers.QuantDense(4, **CODES)(K.Reshape((8, 3))(x)),
    ),
    "sequence of dense": (
        (5, 12),
        lambda x: layers.QuantDense(4, **CODES)(x),
    ),
    "quantize": ((12,), quantized),
    "quantize to 8 bits": (
        (12,),
        lambda x: layers.QuantActivation("fixed_8")(x),
    ),
    "max of floats": (
        (8, 3),
        lambda x: layers.QuantConv1D(2, 1, **CODES)(K.MaxPooling1D(4)(x)),
    ),
    "max of codes": (
        (8, 3),
        lambda x: layers.QuantDense(2, kernel_quantizer="ternary")(
            K.MaxPooling1D(4, strides=3)(quantized(x))
        ),
    ),
    "max of sums": (
        (8, 8, 3),
        lambda x: quantized(
            norm(K.MaxPooling2D(4)(layers.QuantConv2D(2, 1, **CODES)(x)))
        ),
    ),
    "max of floats of sums": (
        (8, 8, 3),
        lambda x: norm(K.MaxPooling2D(4)(layers.QuantConv2D(2, 1, **CODES)(x))),
    ),
    "max of sums twice": (
        (8, 8, 3),
        lambda x: quantized(
            K.MaxPooling2D(2)(
                K.MaxPooling2D(4)(layers.QuantConv2D(2, 1, **CODES)(x))
            )
        ),
    ),
    "average of codes": (
        (8, 3),
        lambda x: layers.QuantDense(2, **CODES)(
            K.AveragePooling1D(4)(quantized(x))
        ),
    ),
    "global max": (
        (4, 4, 3),
        lambda x: layers.QuantDense(2, kernel_quantizer="ternary")(
            K.GlobalMaxPooling2D()(quantized(x))
        ),
    ),
    "global average": (
        (4, 4, 3),
        lambda x: layers.QuantDense(2, **CODES)(
            K.GlobalAveragePooling2D()(quantized(x))
        ),
    ),
}
OPTIONS = {
    "MAX_WINDOW": "kernel_|stride_|dilation_|pool_(height|width|stride)",
    "MAX_CHANNELS": "(input|output)_channels",
    "MAX_PAD_VALUE": "pad_value",
}


def options_of(file):
    model = flatbuffer.read(file)
    for operator in model.subgraphs[0].operators:
        if operator.customOptions is not None:
            data = bytes(bytearray(operator.customOptions))
            yield flexbuffers.Loads(data)


SMALL = {
    "MAX_WINDOW": 2,
    "MAX_CHANNELS": 3,
    "MAX_PAD_VALUE": 0,
    "MAX_SIZE": 9,
    "MAX_SUM": 8,
    "MAX_TENSOR_BYTES": 60,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("MAX_WINDOW", "MAX_PAD_VALUE"), id="windows"),
        *(
            pytest.param((limit,), id=limit, marks=pytest.mark.long)
            for limit in SMALL
        ),
    ],
)
@pytest.mark.parametrize("network", NETWORKS)
def test_beyond_a_limit(network, names, monkeypatch):
    """A layer finds another way, or is named in an error."""
    for name in names:
        monkeypatch.setattr(limits, name, SMALL[name])
    shape, network = NETWORKS[network]
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, network(inputs))
    try:
        file = converters.convert(model).flatbuffer
    except converters.ConversionError as error:
        assert re.match(r"Layer 'quant_\w+' would not run as", str(error))
        file = converters.convert(model, strict=False).flatbuffer
    for options in options_of(file):
        for option, number in options.items():
            for name in names:
                if re.match(OPTIONS.get(name, "$"), option):
                    assert number <= SMALL[name], option
    rng = np.random.default_rng(0)
    x = (rng.integers(-16, 17, (3, *shape)) / 8).astype("float32")
    np.testing.assert_allclose(
        converters.Interpreter(file).predict(x),
        model(x, training=False),
        rtol=1e-6,
        atol=1e-6,
    )


# Networks of everyday size that the format cannot hold as they are.


def test_average_of_a_long_sequence():
    """2.5 seconds of 16 kHz, averaged over all steps."""
    keras.utils.set_random_seed(0)
    sound = keras.Input((40000, 1))
    x = K.GlobalAveragePooling1D()(layers.QuantActivation("binary")(sound))
    model = keras.Model(sound, layers.QuantDense(2, **CODES)(x))
    file = converters.convert(model).flatbuffer
    x = np.random.default_rng(0).normal(size=(2, 40000, 1)).astype("f4")
    np.testing.assert_array_equal(
        converters.Interpreter(file).predict(x), model(x, training=False)
    )


@pytest.mark.parametrize(
    "pad", (-200.0, -129.0, -128.0, 0.5, 127.0, 128.0, 1e6)
)
def test_pad_values_of_an_image(pad):
    keras.utils.set_random_seed(0)
    image = keras.Input((5, 5, 2))
    x = layers.QuantConv2D(
        3, 3, padding="same", pad_value=pad, kernel_quantizer="ternary"
    )(image)
    model = keras.Model(image, x)
    file = converters.convert(model).flatbuffer
    x = np.random.default_rng(0).integers(-8, 9, (2, 5, 5, 2)).astype("f4")
    np.testing.assert_array_equal(
        converters.Interpreter(file).predict(x), model(x, training=False)
    )


@pytest.mark.parametrize("pad", (np.inf, -np.inf, np.nan, 1e37))
def test_pad_values_that_cannot_be(pad):
    image = keras.Input((5, 5, 2))
    x = layers.QuantConv2D(
        *(3, 3),
        padding="same",
        pad_value=pad,
        kernel_quantizer="ternary",
        name="edges",
    )(image)
    with pytest.raises(converters.ConversionError, match="'edges'.*pad_value"):
        converters.convert(keras.Model(image, x))
