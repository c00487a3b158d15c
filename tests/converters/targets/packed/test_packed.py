"""`target="packed"`: what the file holds, and that it equals Keras."""

import concurrent.futures

import keras
import numpy as np
import pytest

from keras_aqe import layers, models, quantizers, runtime
from keras_aqe.converters import ConversionError, Interpreter, convert, verify
from keras_aqe.converters.file import flatbuffer
from tests.converters.networks import images, randomise
from tests.runtime.engines import run
from tests.runtime.packed_files import pack_weights

MIB = 2**20
WIDTHS = [
    *((m, n) for m in (1, 2, 3, 4) for n in (1, 2, 3, 4)),
    *((8, 1), (8, 2), (8, 3), (16, 1), (16, 2), (16, 3), (32, 1), (32, 3)),
]


@pytest.fixture(autouse=True)
def needs_runtime():
    try:
        runtime.library_path()
    except RuntimeError as error:
        pytest.skip(str(error))


def small(input_bits=1, weight_bits=1, **kwargs):
    model = models.MINWNet(
        "D", input_bits, weight_bits, filters=6, dense_units=20, **kwargs
    )
    return randomise(model, seed=input_bits)


def operators(converted):
    return flatbuffer.operator_names(flatbuffer.read(converted.flatbuffer))


def assert_equal(model, x, **options):
    """Codes to the bit, and floats of the last output within rounding."""
    converted = convert(model, **options)
    expected = keras.tree.flatten(model.predict(x, verbose=0))
    received = keras.tree.flatten(Interpreter(converted.flatbuffer).predict(x))
    for ours, theirs in zip(expected[:-1], received[:-1]):
        np.testing.assert_array_equal(ours, theirs)
    limit = 1e-4 * np.abs(expected[-1]).max()
    np.testing.assert_allclose(expected[-1], received[-1], atol=limit)
    return converted


@pytest.mark.parametrize("input_bits, weight_bits", WIDTHS)
def test_minw_net(input_bits, weight_bits):
    model = small(input_bits, weight_bits)
    verification = verify(model, convert(model), images((32, 32, 3)))
    assert verification.labels_equal
    # Sums of floats round differently in another order, and a half-precision
    # code on the edge may then differ.
    limit = 1e-2 if input_bits == 16 else 1e-4
    assert verification.max_relative_error < limit


@pytest.mark.parametrize("pad_value", [0.0, 1.0])
@pytest.mark.parametrize(
    "input_bits, weight_bits", [(1, 1), (2, 2), (3, 3), (8, 1), (8, 3)]
)
def test_layers_become_one_operator_each(input_bits, weight_bits, pad_value):
    if input_bits == 8:
        pad_value = -pad_value  # fixed point ends before 1
    converted = convert(small(input_bits, weight_bits, pad_value=pad_value))
    expected = ["AqeConv2D"] * 6 + ["AqeFullyConnected"] * 3
    assert operators(converted) == expected
    assert [row.op for row in converted.report] == expected


@pytest.mark.parametrize("bits, limit", [(1, 1.30), (2, 2.6), (3, 3.85)])
def test_model_a_takes_its_bits(bits, limit):
    converted = convert(models.MINWNet("A", bits, bits))
    assert len(converted.flatbuffer) <= limit * MIB
    for row, layer in zip(
        converted.report, models.MINWNet("A", bits, bits).layers[1:2]
    ):
        assert row.weight_bytes == bits * np.size(layer.kernel) // 8


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_file_holds_the_codes(bits):
    quantizer = quantizers.of_width(bits)
    layer = layers.QuantConv2D(6, 3, kernel_quantizer=quantizer)
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.QuantActivation("binary")(layer(inputs)))
    file = flatbuffer.read(convert(model).flatbuffer)
    operator = file.subgraphs[0].operators[0]
    tensor = file.subgraphs[0].tensors[operator.inputs[1]]
    codes = np.moveaxis(
        np.asarray(layer.kernel_quantizer.codes(layer.kernel)), -1, 0
    )
    np.testing.assert_array_equal(
        np.reshape(file.buffers[tensor.buffer].data, tensor.shape),
        pack_weights(codes, bits),
    )


@pytest.mark.parametrize("bits", [1, 3])
def test_tensorflow_runs_the_file_too(bits):
    file, x = convert(small(bits, bits)).flatbuffer, images((32, 32, 3))
    np.testing.assert_array_equal(
        run(file, x, engine="tf"), Interpreter(file).predict(x)
    )


def test_two_threads_change_nothing():
    file = convert(models.MINWNet("D", filters=64)).flatbuffer
    x = images((32, 32, 3))
    np.testing.assert_array_equal(
        Interpreter(file, num_threads=2).predict(x),
        Interpreter(file).predict(x),
    )


def run_in_four_python_threads(invokes):
    model = small(2, 1)
    file, x = convert(model).flatbuffer, images((32, 32, 3), examples=2)
    expected = Interpreter(file).predict(x)

    def predict(thread):
        interpreter = Interpreter(file)
        for _ in range(invokes // 4):
            if not np.array_equal(interpreter.predict(x), expected):
                return False
        return True

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(predict, range(4)))


def test_interpreters_in_four_python_threads():
    run_in_four_python_threads(invokes=400)


@pytest.mark.long
def test_many_invokes_in_four_python_threads():
    run_in_four_python_threads(invokes=10_000)


@pytest.mark.parametrize(
    "preprocessing",
    [
        [keras.layers.Rescaling(1 / 127.5, -1)],
        [keras.layers.Rescaling(1 / 255)],
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Normalization(mean=[0.5, 0.4], variance=[0.1, 0.2]),
        ],
    ],
)
def test_the_image_may_be_uint8(preprocessing):
    x = inputs = keras.Input((9, 9, 2), dtype="uint8")
    for layer in preprocessing:
        x = layer(x)
    x = layers.QuantConv2D(7, 3, padding="same", kernel_quantizer="po2_3")(x)
    x = keras.layers.BatchNormalization()(x)
    codes = layers.QuantActivation("ternary")(x)
    x = layers.QuantConv2D(3, 3, kernel_quantizer="binary")(codes)
    model = randomise(keras.Model(inputs, [codes, x]))
    x = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 2), "uint8")
    converted = assert_equal(model, x)
    assert operators(converted)[0] == "AqeConv2D"


def residual(x, quantizer, codes):
    y = layers.QuantActivation(quantizer)(x)
    codes.append(y)
    y = layers.QuantConv2D(
        x.shape[-1],
        3,
        padding="same",
        use_bias=False,
        kernel_quantizer="ternary",
    )(y)
    y = keras.layers.BatchNormalization()(y)
    return keras.layers.Add()([x, y])


def test_a_residual_block_is_one_operator_and_a_sum():
    x = inputs = keras.Input((8, 8, 6))
    codes = []
    for quantizer in ("binary", "po2_3", "fixed_8"):
        x = residual(x, quantizer, codes)
    model = randomise(keras.Model(inputs, [*codes, x]))
    converted = assert_equal(model, images((8, 8, 6)))
    # What a residual block adds is folded into its sum.
    assert operators(converted).count("MUL") == 0
    assert operators(converted).count("ADD") == 3


def test_eight_bits_are_rounded_by_the_operator_of_the_sum():
    def norm(x):
        return keras.layers.BatchNormalization()(x)

    def tanh(x):
        return keras.layers.Activation("hard_tanh")(x)

    pool = keras.layers.MaxPooling2D
    x = inputs = keras.Input((40, 40, 3))
    codes = []
    for order in (
        [],
        [tanh],
        [norm, tanh],
        [pool(), norm],
        [norm, pool(), tanh],
    ):
        x = layers.QuantConv2D(
            21, 3, kernel_quantizer="po2_3", use_bias=len(codes) > 0
        )(x)
        for step in order:
            x = step(x)
        x = layers.QuantActivation("fixed_8")(x)
        codes.append(x)
    dense = layers.QuantDense(9, kernel_quantizer="binary", use_bias=False)
    x = layers.QuantActivation("fixed_8")(norm(dense(x)))
    codes.append(x)
    x = layers.QuantConv2D(5, 1, kernel_quantizer="ternary")(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    written = operators(assert_equal(model, images((40, 40, 3))))
    # It follows batch normalisation, whose scale may be negative.
    assert written.count("AqeMaxPool2D") == 1
    assert all(name.startswith("Aqe") for name in written)
    assert "AqeQuantize" not in written


@pytest.mark.parametrize(
    "quantizer", ["binary", "ternary", "po2_3", "po2_4", "fixed_8"]
)
@pytest.mark.parametrize("source", ["ternary", "po2_4", "fixed_8"])
def test_an_average_of_codes_becomes_codes_at_once(source, quantizer):
    inputs = keras.Input((12, 12, 5))
    x = layers.QuantActivation(source)(inputs)
    codes = []
    for pool in (
        [keras.layers.AveragePooling2D(3, 2)],
        [keras.layers.AveragePooling2D(2, 1), layers.HardTanh()],
        [
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.BatchNormalization(),
        ],
    ):
        for layer in pool:
            x = layer(x)
        x = layers.QuantActivation(quantizer)(x)
        codes.append(x)
    x = layers.QuantDense(5, kernel_quantizer="binary")(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    written = operators(assert_equal(model, images((12, 12, 5))))
    assert written.count("AqeAveragePool2D") == 3
    assert written.count("AqeQuantize") == 1  # of the image


def test_pools_anywhere_and_falling_channels():
    def norm(x):
        return keras.layers.BatchNormalization()(x)

    pool = keras.layers.MaxPooling2D
    x = inputs = keras.Input((32, 32, 3))
    codes = []
    for order in ((norm, pool()), (pool(), norm), (norm, pool(), norm, pool())):
        x = layers.QuantConv2D(
            40, 3, padding="same", kernel_quantizer="ternary"
        )(x)
        for step in order:
            x = step(x)
        x = layers.QuantActivation("po2_3")(x)
        codes.append(x)
    x = pool(2, 1, padding="same")(x)
    x = layers.QuantDepthwiseConv2D(
        2, depth_multiplier=2, kernel_quantizer="po2_4", padding="same"
    )(x)
    x = layers.QuantActivation("ternary")(norm(pool(2, 1)(x)))
    codes.append(x)
    for layer in (keras.layers.GlobalMaxPooling2D(), keras.layers.Flatten()):
        codes.append(layer(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    assert_equal(model, images((32, 32, 3)))


@pytest.mark.parametrize("bits, multiplier", [(4, 1), (2, 3), (3, 2)])
def test_separable_kernels_beyond_four_bits(bits, multiplier):
    x = inputs = keras.Input((8, 8, 3))
    x = layers.QuantActivation("ternary")(x)
    x = layers.QuantSeparableConv2D(
        5,
        3,
        depth_multiplier=multiplier,
        kernel_quantizer=quantizers.of_width(bits),
    )(x)
    codes = layers.QuantActivation("po2_3")(x)
    model = randomise(keras.Model(inputs, [codes, x]))
    assert_equal(model, images((8, 8, 3)))


def test_odd_widths():
    """Fixed point of few bits takes int8 codes."""
    x = inputs = keras.Input((10,))
    codes = []
    for quantizer in ("fixed_2", "fixed_3", "fixed_5", "fixed_8"):
        x = layers.QuantActivation(quantizer)(x)
        codes.append(x)
        x = layers.QuantDense(9, kernel_quantizer="po2_3")(x)
    model = randomise(keras.Model(inputs, [*codes, x]))
    assert_equal(model, images((10,), examples=20))


def test_dense_layers_on_pixels():
    x = inputs = keras.Input((4, 5, 6))
    x = layers.QuantDense(8, kernel_quantizer="binary")(x)
    x = layers.QuantActivation("binary")(x)
    codes = keras.layers.Reshape((20, 8))(x)
    x = layers.QuantDense(
        3, input_quantizer="ternary", kernel_quantizer="ternary"
    )(codes)
    model = randomise(keras.Model(inputs, [codes, x]))
    assert_equal(model, images((4, 5, 6)))


def test_a_deep_network():
    x = inputs = keras.Input((4,))
    for _ in range(100):
        x = layers.QuantDense(
            4, input_quantizer="binary", kernel_quantizer="binary"
        )(x)
    assert_equal(randomise(keras.Model(inputs, x)), images((4,)))


def dense(x, input_quantizer, kernel_quantizer, name):
    return layers.QuantDense(
        3,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        name=name,
    )(x)


@pytest.mark.parametrize(
    "input_quantizer, kernel_quantizer, match",
    [
        ("binary", "float16", "'wide' would not run as XNOR ADDER.*16 bits"),
        ("po2_3", None, "'wide' would not run as SHIFT ADDER.*32 bits"),
        ("po2_5", "po2_3", "'wide' would not run as SHIFT.*input has 5 bits"),
    ],
)
def test_what_cannot_be_packed(input_quantizer, kernel_quantizer, match):
    x = inputs = keras.Input((6,))
    x = dense(x, input_quantizer, kernel_quantizer, "wide")
    x = dense(x, "ternary", "ternary", "narrow")
    model = randomise(keras.Model(inputs, x))
    with pytest.raises(ConversionError, match=match):
        convert(model)
    converted = assert_equal(model, images((6,)), strict=False)
    assert [row.op for row in converted.report] == [
        "FULLY_CONNECTED",
        "AqeFullyConnected",
    ]


def test_between_residual_blocks_floats_are_only_added_up():
    """Scales and batch normalisation are in what comes before and after."""
    model = models.ResNet18(2, 2, (32, 32, 3), 10, filters=4)
    converted = assert_equal(randomise(model), images((32, 32, 3)))
    builtin = [n for n in operators(converted) if not n.startswith("Aqe")]
    # Behind the last block batch normalisation feeds an average.
    assert builtin == ["MAX_POOL_2D"] + ["ADD"] * 8 + ["MUL", "ADD", "MEAN"]


def test_a_pad_value_that_is_no_level():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.QuantConv2D(
        3,
        3,
        padding="same",
        pad_value=0.3,
        input_quantizer="binary",
        kernel_quantizer="binary",
        name="padded",
    )(x)
    with pytest.raises(ConversionError, match="'padded'.*pad_value=0.3"):
        convert(keras.Model(inputs, x))


def test_an_image_may_be_padded_with_any_number():
    x = inputs = keras.Input((6, 6, 2))
    x = layers.QuantConv2D(
        3, 3, padding="same", pad_value=0.5, kernel_quantizer="binary"
    )(x)
    assert_equal(keras.Model(inputs, x), images((6, 6, 2)))


def test_says_when_the_runtime_is_missing(monkeypatch):
    converted = convert(small())

    def missing():
        raise RuntimeError("Install a C++17 compiler")

    monkeypatch.setattr("keras_aqe.runtime.library.library_path", missing)
    with pytest.raises(ConversionError, match=r"packed.*C\+\+17 compiler"):
        Interpreter(converted.flatbuffer)
