"""Every operator in LiteRT against TensorFlow or NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.engines import run
from tests.runtime.packed_files import (
    LEVELS,
    activation_shape,
    apply_thresholds,
    one_operator,
    pack_activations,
    pack_weights,
    pool_options,
    unpack_activations,
    window_options,
)

BITS = (1, 2, 3, 4)
INPUT_BITS = (1, 2, 3, 4, 8)
few_cases = settings(max_examples=8)


def random_codes(rng, shape, bits):
    return rng.choice(LEVELS[bits], shape)


def random_thresholds(rng, bits, channels, spread, dtype=np.int32):
    """Thresholds and directions, constant and one-sided channels included."""
    shape = (len(LEVELS[bits]) - 1, channels)
    values = rng.integers(-spread, spread + 1, shape).astype(dtype)
    low, high = (
        (-np.inf, np.inf) if dtype == np.float32 else (-(2**31), 2**31 - 1)
    )
    values[rng.random(shape) < 0.1] = low
    values[rng.random(shape) < 0.1] = high
    direction = rng.choice([-1, 1], channels).astype(np.int8)
    return np.sort(values, axis=0), direction


def convolution(x, kernel, stride, dilation, padding, groups=1):
    """Accumulators of TensorFlow, from a kernel with the output first."""
    x = tf.constant(x, tf.float64)
    kernel = tf.constant(kernel.transpose(1, 2, 3, 0), tf.float64)
    return np.concatenate(
        [
            tf.nn.convolution(part, weights, stride, padding, "NHWC", dilation)
            for part, weights in zip(
                tf.split(x, groups, -1), tf.split(kernel, groups, -1)
            )
        ],
        axis=-1,
    )


def same_padded(x, kernel, stride, dilation, value):
    """The input with TensorFlow's 'same' padding spelt out."""
    padding = [(0, 0)]
    for size, k, s, d in zip(x.shape[1:3], kernel, stride, dilation):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        padding.append((total // 2, total - total // 2))
    return np.pad(x, [*padding, (0, 0)], constant_values=value)


@st.composite
def geometries(draw):
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    # TensorFlow has no strided dilated convolution.
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    dilation = (1, 1) if stride != (1, 1) else (draw(st.integers(1, 2)),) * 2
    size = draw(st.integers(5, 9)), draw(st.integers(5, 9))
    return {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "padding": draw(st.sampled_from(["VALID", "SAME"])),
        "shape": (draw(st.integers(1, 2)), *size),
    }


@pytest.mark.slow
@pytest.mark.parametrize("weight_bits", BITS)
@pytest.mark.parametrize("input_bits", INPUT_BITS)
@few_cases
@given(
    geometry=geometries(),
    channels=st.sampled_from([1, 3, 63, 64, 65, 130]),
    outputs=st.sampled_from([1, 7, 64, 66]),
    output_bits=st.sampled_from(INPUT_BITS),
    pad=st.sampled_from([0, -1, 1]),
    pool=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_conv_2d(
    input_bits,
    weight_bits,
    geometry,
    channels,
    outputs,
    output_bits,
    pad,
    pool,
    seed,
):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (
        geometry[name] for name in ("kernel", "stride", "dilation")
    )
    x = random_codes(rng, (*geometry["shape"], channels), input_bits)
    w = random_codes(rng, (outputs, *kernel, channels), weight_bits)
    if geometry["padding"] == "SAME":
        padded = same_padded(x, kernel, stride, dilation, pad)
    else:
        padded = x
    acc = convolution(padded, w, stride, dilation, "VALID")
    options = {
        "input_channels": channels,
        "input_bits": input_bits,
        "weight_bits": weight_bits,
        "output_channels": outputs,
        "output_bits": output_bits,
        "pad_value": pad,
        **window_options(kernel, stride, dilation, geometry["padding"]),
    }
    # Some of TensorFlow's builds abort at a window larger than its input.
    if pool and min(acc.shape[1:3]) > 1:
        acc = tf.nn.max_pool2d(acc, 2, 2, "VALID").numpy()
        options |= pool_options((2, 2), (2, 2), "VALID")
    thresholds, direction = random_thresholds(
        rng, output_bits, outputs, int(np.abs(acc).max()) + 1
    )
    packed = pack_activations(x, input_bits)
    file = one_operator(
        "AqeConv2D",
        packed,
        [pack_weights(w, weight_bits), thresholds, direction],
        activation_shape(acc.shape, output_bits),
        "int8" if output_bits == 8 else "int64",
        options,
    )
    actual = unpack_activations(run(file, packed), output_bits, outputs)
    expected = apply_thresholds(acc, thresholds, direction, output_bits)
    np.testing.assert_array_equal(actual, expected)


@few_cases
@given(data=st.data())
def test_fewer_codes_of_8_bits(data):
    """A run of them, which a file of format 2 tells the first of."""
    code_bits = data.draw(st.integers(1, 8))
    first = data.draw(st.integers(-128, 128 - 2**code_bits))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = random_codes(rng, (2, 5, 4, 70), 2)
    w = random_codes(rng, (66, 3, 3, 70), 2)
    acc = convolution(x, w, (1, 1), (1, 1), "VALID")
    limit = int(np.abs(acc).max()) + 1
    thresholds = rng.integers(-limit, limit, (2**code_bits - 1, 66))
    thresholds = np.sort(thresholds.astype(np.int32), axis=0)
    direction = rng.choice([-1, 1], 66).astype(np.int8)
    options = {
        "format": 2,
        "input_channels": 70,
        "input_bits": 2,
        "weight_bits": 2,
        "output_channels": 66,
        "output_bits": 8,
        "code_bits": code_bits,
        "first_code": first,
        **window_options((3, 3), (1, 1), (1, 1), "VALID"),
    }
    packed = pack_activations(x, 2)
    constants = [pack_weights(w, 2), thresholds, direction]
    file = one_operator(
        *("AqeConv2D", packed, constants, acc.shape, "int8", options)
    )
    np.testing.assert_array_equal(
        run(file, packed),
        apply_thresholds(acc, thresholds, direction, 8, first),
    )


@pytest.mark.parametrize("groups", (2, 3))
@pytest.mark.parametrize("bits", BITS)
def test_grouped_conv_2d(bits, groups):
    rng = np.random.default_rng(bits)
    x = random_codes(rng, (2, 6, 5, 22 * groups), bits)
    w = random_codes(rng, (35 * groups, 3, 2, 22), bits)
    acc = convolution(x, w, (1, 1), (1, 1), "SAME", groups)
    options = {
        "input_channels": x.shape[-1],
        "input_bits": bits,
        "weight_bits": bits,
        "output_channels": w.shape[0],
        "output_bits": 32,
        "groups": groups,
        **window_options((3, 2), (1, 1), (1, 1), "SAME"),
    }
    packed = pack_activations(x, bits)
    file = one_operator(
        "AqeConv2D",
        packed,
        [pack_weights(w, bits)],
        acc.shape,
        "int32",
        options,
    )
    np.testing.assert_array_equal(run(file, packed), acc)


def test_explicit_padding():
    rng = np.random.default_rng(0)
    x = random_codes(rng, (1, 6, 6, 5), 2)
    w = random_codes(rng, (4, 3, 3, 5), 2)
    padded = np.pad(x, [(0, 0), (1, 1), (2, 0), (0, 0)])
    acc = convolution(padded, w, (2, 2), (1, 1), "VALID")
    options = {
        "input_channels": 5,
        "input_bits": 2,
        "weight_bits": 2,
        "output_channels": 4,
        "output_bits": 32,
        **window_options((3, 3), (2, 2), (1, 1), "VALID"),
        "padding": 2,
        "pad_top": 1,
        "pad_bottom": 1,
        "pad_left": 2,
        "pad_right": 0,
    }
    packed = pack_activations(x, 2)
    file = one_operator(
        "AqeConv2D", packed, [pack_weights(w, 2)], acc.shape, "int32", options
    )
    np.testing.assert_array_equal(run(file, packed), acc)


@pytest.mark.parametrize("padding, has_offset", [("VALID", 0), ("SAME", 1)])
@pytest.mark.parametrize("weight_bits", BITS)
@pytest.mark.parametrize("input_bits", INPUT_BITS)
def test_depthwise_conv_2d(input_bits, weight_bits, padding, has_offset):
    rng = np.random.default_rng(weight_bits)
    channels, multiplier = 37, 2
    x = random_codes(rng, (2, 7, 6, channels), input_bits)
    w = random_codes(rng, (channels * multiplier, 3, 3), weight_bits)
    kernel = w.reshape(channels, multiplier, 3, 3).transpose(2, 3, 0, 1)
    acc = tf.nn.depthwise_conv2d(
        tf.constant(x, tf.float64),
        tf.constant(kernel, tf.float64),
        (1, 1, 1, 1),
        padding,
    ).numpy()
    scale, bias, offset = rng.normal(size=(3, w.shape[0])).astype(np.float32)
    offset *= has_offset
    options = {
        "offset": has_offset,
        "input_channels": channels,
        "input_bits": input_bits,
        "weight_bits": weight_bits,
        "depth_multiplier": multiplier,
        "output_bits": 32,
        **window_options((3, 3), (1, 1), (1, 1), padding),
    }
    packed = pack_activations(x, input_bits)
    file = one_operator(
        "AqeDepthwiseConv2D",
        packed,
        [
            pack_weights(w, weight_bits),
            *[scale, bias, offset][: 2 + has_offset],
        ],
        acc.shape,
        "float32",
        options,
    )
    expected = (acc.astype(np.float32) + offset) * scale + bias
    np.testing.assert_array_equal(run(file, packed), expected)


@pytest.mark.parametrize("weight_bits", BITS)
@pytest.mark.parametrize("input_bits", [*INPUT_BITS, 32])
@pytest.mark.parametrize("outputs, has_offset", [(3, 0), (70, 0), (70, 1)])
def test_fully_connected_that_rounds(
    input_bits, weight_bits, outputs, has_offset
):
    rng = np.random.default_rng(outputs)
    if input_bits == 32:
        # Multiples of 1/8: their sums are exact in any order.
        x = (rng.integers(-20, 20, (4, 90)) / 8).astype(np.float32)
        source = x
    else:
        x = random_codes(rng, (4, 90), input_bits)
        source = pack_activations(x, input_bits)
    w = random_codes(rng, (outputs, 90), weight_bits)
    acc = x @ w.T
    # Codes from beyond the least to beyond the greatest, some of them halves.
    scale = np.exp2(rng.integers(-3, 2, outputs) + 7).astype(np.float32)
    scale *= np.sign(rng.normal(size=outputs)).astype(np.float32)
    scale /= np.float32(2 ** np.ceil(np.log2(np.abs(acc).max())))
    bias = np.rint(rng.normal(size=outputs) * 40).astype(np.float32)
    offset = has_offset * rng.normal(size=outputs).astype(np.float32)
    file = one_operator(
        "AqeFullyConnected",
        source,
        [
            pack_weights(w, weight_bits),
            *[scale, bias, offset][: 2 + has_offset],
        ],
        (4, outputs),
        "int8",
        {
            "offset": has_offset,
            "input_channels": 90,
            "input_bits": input_bits,
            "weight_bits": weight_bits,
            "output_channels": outputs,
            "output_bits": 8,
            "rounding": 1,
        },
    )
    expected = np.rint((acc.astype(np.float32) + offset) * scale + bias)
    np.testing.assert_array_equal(
        run(file, source), np.clip(expected, -128, 127)
    )


@pytest.mark.parametrize("weight_bits", BITS)
@pytest.mark.parametrize("input_bits", INPUT_BITS)
@few_cases
@given(
    shape=st.sampled_from([(3, 200), (1, 64), (2, 3, 3, 40), (1, 2, 128)]),
    outputs=st.sampled_from([1, 10, 64, 130]),
    seed=st.integers(0, 2**32 - 1),
)
def test_fully_connected(input_bits, weight_bits, shape, outputs, seed):
    rng = np.random.default_rng(seed)
    x = random_codes(rng, shape, input_bits)
    flat = x.reshape(shape[0], -1)
    w = random_codes(rng, (outputs, flat.shape[1]), weight_bits)
    acc = flat @ w.T
    thresholds, direction = random_thresholds(
        rng, weight_bits, outputs, int(np.abs(acc).max()) + 1
    )
    options = {
        "input_channels": shape[-1],
        "input_bits": input_bits,
        "weight_bits": weight_bits,
        "output_channels": outputs,
        "output_bits": weight_bits,
    }
    packed = pack_activations(x, input_bits)
    file = one_operator(
        "AqeFullyConnected",
        packed,
        [pack_weights(w, weight_bits), thresholds, direction],
        activation_shape(acc.shape, weight_bits),
        "int64",
        options,
    )
    actual = unpack_activations(run(file, packed), weight_bits, outputs)
    expected = apply_thresholds(acc, thresholds, direction, weight_bits)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("weight_bits", BITS)
def test_float_input(weight_bits):
    """Sums in float32 one after the other, in the weights' order."""
    rng = np.random.default_rng(weight_bits)
    x = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    w = random_codes(rng, (70, 3, 3, 3), weight_bits)
    acc = np.zeros((2, 4, 4, 70), np.float32)
    for row, column, channel in np.ndindex(3, 3, 3):
        values = x[:, row : row + 4, column : column + 4, channel, None]
        acc += values * w[:, row, column, channel].astype(np.float32)
    np.testing.assert_allclose(
        acc, convolution(x, w, (1, 1), (1, 1), "VALID"), rtol=1e-3, atol=1e-3
    )
    thresholds, direction = random_thresholds(rng, 2, 70, 5, np.float32)
    options = {
        "input_channels": 3,
        "input_bits": 32,
        "weight_bits": weight_bits,
        "output_channels": 70,
        "output_bits": 2,
        **window_options((3, 3), (1, 1), (1, 1), "VALID"),
    }
    file = one_operator(
        "AqeConv2D",
        x,
        [pack_weights(w, weight_bits), thresholds, direction],
        activation_shape(acc.shape, 2),
        "int64",
        options,
    )
    np.testing.assert_array_equal(
        unpack_activations(run(file, x), 2, 70),
        apply_thresholds(acc, thresholds, direction, 2),
    )


# Of whole numbers, which kernels multiply as bytes, and of others.
NORMALISATIONS = {
    "x / 127.5 - 1": ([2, 2, 2], [-255, -255, -255]),
    "by channel": ([1, 1, 1], [-124, -117, -104]),
    "other scales": ([1, 3, -2], [0, -300, 255]),
    "fractions": ([0.011, 0.017, 0.02], [-1.3, 0.2, 0.7]),
}


@pytest.mark.parametrize("pad", (0, 1))
@pytest.mark.parametrize("bits", (1, 2, 3, 4))
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_image_input(normalisation, bits, pad):
    """uint8 with normalisation equals the normalised float image."""
    rng = np.random.default_rng(bits)
    image = rng.integers(0, 256, (1, 7, 8, 3)).astype(np.uint8)
    scale, offset = np.array(NORMALISATIONS[normalisation], np.float32)
    w = random_codes(rng, (20, 3, 3, 3), bits)
    output = [
        np.ones(20, np.float32),
        rng.normal(size=20).astype(np.float32),
    ]
    options = {
        "input_channels": 3,
        "input_bits": 32,
        "weight_bits": bits,
        "output_channels": 20,
        "output_bits": 32,
        "pad_value": pad,
        **window_options((3, 3), (2, 2), (1, 1), "SAME"),
    }
    constants = [pack_weights(w, bits), *output]
    shape = (1, 4, 4, 20)
    x = image.astype(np.float32) * scale + offset
    from_float = one_operator(
        "AqeConv2D", x, constants, shape, "float32", options
    )
    from_image = one_operator(
        "AqeConv2D",
        image,
        [*constants, scale, offset],
        shape,
        "float32",
        options,
    )
    np.testing.assert_array_equal(run(from_image, image), run(from_float, x))


@pytest.mark.parametrize("padding", ("VALID", "SAME"))
@pytest.mark.parametrize("bits", INPUT_BITS)
def test_pooling(bits, padding):
    rng = np.random.default_rng(bits)
    x = random_codes(rng, (2, 7, 8, 70), bits)
    packed = pack_activations(x, bits)
    options = {
        "input_channels": 70,
        "input_bits": bits,
        **pool_options((3, 2), (2, 3), padding),
    }
    args = ((3, 2), (2, 3), padding)
    highest = tf.nn.max_pool2d(tf.constant(x, tf.float64), *args).numpy()
    file = one_operator(
        "AqeMaxPool2D",
        packed,
        [],
        activation_shape(highest.shape, bits),
        packed.dtype,
        options,
    )
    np.testing.assert_array_equal(
        unpack_activations(run(file, packed), bits, 70), highest
    )

    mean = tf.nn.avg_pool2d(tf.constant(x, tf.float64), *args).numpy()
    unit, zero = np.full(70, 0.25, np.float32), np.zeros(70, np.float32)
    file = one_operator(
        "AqeAveragePool2D",
        packed,
        [unit, zero],
        mean.shape,
        "float32",
        options | {"output_bits": 32},
    )
    np.testing.assert_allclose(run(file, packed), mean * 0.25, rtol=1e-6)


@pytest.mark.parametrize("bits", INPUT_BITS)
def test_quantize_and_dequantize(bits):
    rng = np.random.default_rng(bits)
    thresholds, direction = random_thresholds(rng, bits, 90, 9, np.float32)
    x = rng.integers(-10, 11, (3, 5, 90)).astype(np.float32)
    expected = apply_thresholds(x, thresholds, direction, bits)
    shape = activation_shape(x.shape, bits)
    dtype = "int8" if bits == 8 else "int64"
    file = one_operator(
        "AqeQuantize",
        x,
        [thresholds, direction],
        shape,
        dtype,
        {"input_channels": 90, "output_bits": bits},
    )
    packed = run(file, x)
    np.testing.assert_array_equal(
        unpack_activations(packed, bits, 90), expected
    )

    scale = rng.normal(size=90).astype(np.float32)
    bias = rng.normal(size=90).astype(np.float32)
    options = {"input_channels": 90, "input_bits": bits}
    file = one_operator(
        "AqeDequantize", packed, [scale, bias], x.shape, "float32", options
    )
    np.testing.assert_array_equal(
        run(file, packed), expected.astype(np.float32) * scale + bias
    )
    file = one_operator("AqeDequantize", packed, [], x.shape, "int8", options)
    np.testing.assert_array_equal(run(file, packed), expected)


def test_quantize_by_rounding():
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.normal(size=200), np.arange(-140, 140) / 256, [np.nan, np.inf]]
    ).astype(np.float32)[:, None]
    scale, bias = np.full(1, 128, np.float32), np.zeros(1, np.float32)
    file = one_operator(
        "AqeQuantize",
        x,
        [scale, bias],
        x.shape,
        "int8",
        {"input_channels": 1, "output_bits": 8, "rounding": 1},
    )
    expected = np.nan_to_num(np.clip(np.round(x * 128), -128, 127))
    np.testing.assert_array_equal(run(file, x), expected)
