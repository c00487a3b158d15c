"""Which additions and quantizers an operator takes in."""

import keras
import numpy as np
import pytest

from keras_aqe import layers, quantizers
from keras_aqe.converters.graph import nodes
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.targets.packed import stages
from tests.converters.networks import computed
from tests.converters.targets.packed.networks import assert_equal, operators
from tests.randomised import images, randomise

K = keras.layers


def conv(x, filters=5, size=1):
    layer = layers.QuantConv2D(
        filters, size, padding="same", kernel_quantizer="ternary"
    )
    return layer(x)


def norm(x):
    return K.BatchNormalization()(x)


def quantized(x, quantizer="ternary"):
    return layers.QuantActivation(quantizer)(x)


def found(outputs):
    """The stages of a network on images, any convolution a scaled sum."""
    graph = build(keras.Model(IMAGE, outputs))
    return list(
        stages.find(
            graph,
            lambda node: isinstance(node, nodes.Sum),
            lambda node, chain: True,
            lambda node: True,
        ).values()
    )


IMAGE = keras.Input((4, 4, 5))


def test_codes_alone():
    x = norm(K.Add()([IMAGE, conv(IMAGE)]))
    (stage,) = found(conv(quantized(layers.HardTanh()(x))))
    assert isinstance(stage.branch, nodes.Sum)
    assert isinstance(stage.addend, nodes.Input)
    ((quantizer, chain),) = stage.quantizers.items()
    assert isinstance(quantizer, nodes.Quantize)
    assert [type(layer).__name__ for layer in chain] == [
        "BatchNormalization",
        "HardTanh",
    ]
    assert not stage.keeps_floats


def the_sum(x):
    return [conv(quantized(x)), x]


def the_normalized(x):
    x = norm(x)
    return [conv(quantized(x)), K.GlobalAveragePooling2D()(x)]


def two_quantizers(x):
    return [conv(quantized(x)), conv(quantized(norm(x), "binary"))]


def no_quantizer(x):
    return K.GlobalAveragePooling2D()(x)


@pytest.mark.parametrize(
    "readers, quantizers, keeps_floats",
    [
        (the_sum, 1, True),
        (the_normalized, 1, True),
        (two_quantizers, 2, False),
        (no_quantizer, 0, True),
    ],
)
def test_what_reads_the_floats(readers, quantizers, keeps_floats):
    (stage,) = found(readers(K.Add()([conv(IMAGE), IMAGE])))
    assert stage.keeps_floats == keeps_floats
    assert len(stage.quantizers) == quantizers


@pytest.mark.parametrize(
    "layer, limits",
    [
        (K.ReLU(), (0, np.inf)),
        (K.ReLU(6.0), (0, 6)),
        (K.Activation("relu"), (0, np.inf)),
        (K.Activation("relu6"), (0, 6)),
        (K.Activation("hard_tanh"), (-1, 1)),
        (layers.HardTanh(), (-1, 1)),
        (K.ReLU(negative_slope=0.5), None),
        (K.ReLU(threshold=0.5), None),
        (K.Activation("tanh"), None),
    ],
)
def test_limits(layer, limits):
    """Of a sum with and without an addend, where the limited floats go on."""
    (stage,) = found(the_sum(layer(K.Add()([conv(IMAGE), IMAGE]))))
    assert stage.limits == limits
    assert stage.keeps_floats
    assert list(stage.quantizers.values()) == [[layer] if not limits else []]
    alone = found(K.GlobalAveragePooling2D()(layer(conv(IMAGE))))
    assert [stage.limits for stage in alone] == [limits] * bool(limits)


def test_limits_in_front_of_codes_alone_are_folded():
    x = K.ReLU()(K.Add()([conv(IMAGE), IMAGE]))
    (stage,) = found(conv(quantized(x)))
    assert stage.limits is None
    assert not stage.keeps_floats


@pytest.mark.parametrize(
    "add", [lambda x, y: x + y, keras.ops.add, lambda x, y: K.add([x, y])]
)
def test_additions(add):
    (stage,) = found(quantized(add(IMAGE, conv(IMAGE))))
    assert stage.addend is not None


def test_an_addition_that_is_an_output():
    total = K.Add()([conv(IMAGE), IMAGE])
    assert found(total) == []
    (stage,) = found([total, conv(quantized(total))])
    assert stage.keeps_floats


def doubled(x, y):
    return y + y


def read_twice(x, y):
    return K.Concatenate()([x + y, y])


@pytest.mark.parametrize(
    "combine",
    [
        lambda x, y: x - y,
        lambda x, y: K.Add()([x, y, x]),
        lambda x, y: K.GlobalAveragePooling2D(keepdims=True)(x) + y,
        lambda x, y: x + norm(y),
        lambda x, y: y + 1.0,
        doubled,
        read_twice,
    ],
)
def test_what_is_no_addition_of_a_sum_read_once(combine):
    assert found(quantized(combine(IMAGE, conv(IMAGE)))) == []


@pytest.mark.slow
def test_shortcuts_of_all_kinds_keep_the_codes():
    """Strides, pools, both branches sums, normalised sums used twice."""
    codes = []

    def of(x, quantizer):
        codes.append(quantized(x, quantizer))
        return codes[-1]

    x = conv(IMAGE_OF_8, 6, 3)
    x = K.MaxPooling2D(3, 1, padding="same")(K.Rescaling(0.25)(x))
    y = of(layers.HardTanh()(norm(x)), "po2_3")
    x = x + K.Rescaling(0.125)(conv(y, 6, 3))
    # Both branches are sums; then all read the normalised sum.
    y = of(norm(x), "unsigned_2")
    x = norm(K.Add()([norm(conv(y, 70)), norm(conv(y, 70, 3))]))
    y = of(x, "binary")
    depthwise = layers.QuantDepthwiseConv2D(
        3, padding="same", kernel_quantizer="binary"
    )
    x = K.ReLU()(K.Add()([norm(depthwise(y)), x]))
    strided = layers.QuantConv2D(
        9, 3, strides=2, padding="same", kernel_quantizer="po2_3"
    )
    y = of(norm(x), "unsigned_3")
    short = conv(K.MaxPooling2D(1, 2)(y), 9)
    x = K.Add()([norm(strided(y)), short])
    # Rounded, by thresholds of another quantizer, and as they are.
    y = K.Add()([norm(conv(of(norm(x), "fixed_8"), 9)), x])
    y = of(y, "po2_4")
    y = K.Flatten()(K.Add()([norm(conv(y, 9)), x]))
    y = norm(layers.QuantDense(12, kernel_quantizer="binary")(of(y, "ternary")))
    z = layers.QuantDense(12, kernel_quantizer="binary")(codes[-1])
    z = of(norm(K.Add()([y, z])), "ternary")
    z = layers.QuantDense(4, kernel_quantizer="binary")(z)
    model = randomise(keras.Model(IMAGE_OF_8, [*codes, z]))
    x = images((8, 8, 3))
    converted = assert_equal(model, x)
    assert all(len(np.unique(c)) > 1 for c in computed(model, x)[:-1])
    written = operators(converted)
    # All additions are parts of operators; the normalised sum is a MUL and ADD.
    assert written.count("ADD") == written.count("MUL") == 1
    assert "MAX_POOL_2D" not in written
    assert written.count("AqeQuantize") == 0


@pytest.mark.slow
def test_limited_sums_of_several_quantizers_keep_the_codes():
    """Blocks whose activation is behind the sum, with a quantized shortcut."""
    codes = []

    def of(x, quantizer):
        codes.append(quantized(norm(x), quantizer))
        return codes[-1]

    x = K.ReLU()(K.Rescaling(0.25)(conv(IMAGE_OF_8, 20, 3)))
    for limit in (K.ReLU(), layers.HardTanh(), K.Activation("relu6")):
        y = K.Add()([x, conv(of(x, "ternary"), 20, 3)])
        x = limit(K.Add()([y, conv(of(x, "fixed_8"), 20)]))
    # Nothing but quantizers reads the last, of more channels than a word has.
    x = K.Add()([conv(of(x, "po2_3"), 70), conv(codes[-1], 70)])
    y = K.Add()([conv(of(x, "binary"), 3), conv(of(x, "unsigned_2"), 3)])
    y = K.GlobalAveragePooling2D()(y)
    model = randomise(keras.Model(IMAGE_OF_8, [*codes, y]))
    x = images((8, 8, 3))
    converted = assert_equal(model, x)
    assert all(len(np.unique(c)) > 1 for c in model.predict(x, verbose=0)[:-1])
    assert set(operators(converted)) == {"AqeConv2D", "AqeDequantize", "MEAN"}
    assert any("limits" in row.op for row in converted.report)


@pytest.mark.slow
def test_rounded_codes_behind_limits_are_written_alone():
    """Unsigned and signed ones, of sums with and without an addend."""

    def depthwise(x, size=3, kernel_quantizer="po2_4"):
        return layers.QuantDepthwiseConv2D(
            size,
            padding="same",
            use_bias=False,
            kernel_quantizer=kernel_quantizer,
        )(x)

    x = conv(IMAGE_OF_8, 6, 3)
    for limit, quantizer in [
        (K.ReLU(6.0), "unsigned_8"),
        (K.ReLU(), "unsigned_8"),
        (K.Activation("linear"), "unsigned_8"),
        (K.ReLU(), "fixed_8"),
        (K.ReLU(0.5), quantizers.FixedPoint(8, signed=False, scale=4)),
    ]:
        x = depthwise(quantized(limit(norm(x)), quantizer))
    y = K.ReLU(6.0)(K.Add()([norm(x), IMAGE_OF_6]))
    # Two layers read these codes, and more than codes is read of the next.
    y = quantized(y, "unsigned_8")
    outputs = [depthwise(y, 2, "po2_3")]
    x = layers.QuantConv2D(70, 1, use_bias=False, kernel_quantizer="ternary")(y)
    x = K.ReLU(6.0)(norm(x))
    outputs.append(depthwise(quantized(x, "unsigned_8")))
    outputs.append(K.GlobalAveragePooling2D()(x))
    model = randomise(keras.Model([IMAGE_OF_8, IMAGE_OF_6], outputs))
    x = [images((8, 8, 3)), images((8, 8, 6))]
    converted = assert_equal(model, x)
    assert all(len(np.unique(y)) > 9 for y in model.predict(x, verbose=0))
    assert set(operators(converted)) == {
        "AqeConv2D",
        "AqeDepthwiseConv2D",
        "MEAN",
    }


IMAGE_OF_8 = keras.Input((8, 8, 3))
IMAGE_OF_6 = keras.Input((8, 8, 6))
