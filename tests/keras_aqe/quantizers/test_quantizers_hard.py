"""Hard quantizers against NumPy, one value at a time."""

import hypothesis.extra.numpy as hnp
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_aqe as aqe
from tests import reference
from tests.keras_aqe.tensors import array, compiled


def po2(bits):
    return lambda x: reference.power_of_two(x, bits, reference.midpoints(bits))


CASES = {
    "binary": reference.binary,
    "ternary": po2(2),
    **{f"po2_{bits}": po2(bits) for bits in (2, 3, 4, 5, 6)},
    **{
        f"fixed_{bits}": lambda x, bits=bits: reference.fixed_point(x, bits)
        for bits in (2, 4, 8, 16)
    },
    **{
        f"unsigned_{bits}": lambda x, bits=bits: reference.unsigned(x, bits)
        for bits in (1, 2, 3, 8)
    },
    "float16": reference.float16,
}
# The edges of quantizers, and values around them.
EDGES = np.array(
    [0.0, 2.0**-14, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4, 1.0, 2.0], "float32"
)
EDGES = np.concatenate(
    [EDGES, np.nextafter(EDGES, np.float32(9)), np.nextafter(EDGES, -EDGES)]
)
EDGES = np.concatenate([EDGES, -EDGES])
EDGES = EDGES[(EDGES == 0) | (np.abs(EDGES) >= np.finfo("float32").tiny)]

arrays = hnp.arrays(
    "float32",
    hnp.array_shapes(max_dims=3, max_side=6),
    elements=st.one_of(
        st.floats(-1.5, 1.5, width=32, allow_subnormal=False),
        st.sampled_from(EDGES.tolist()),
    ),
)


@pytest.mark.parametrize("name", CASES)
@given(x=arrays)
def test_hard_is_the_papers_formula(name, x):
    hard = array(aqe.quantizers.get(name).hard(x))
    assert hard.dtype == "float32"
    np.testing.assert_array_equal(hard, CASES[name](x))


@pytest.mark.parametrize("name", CASES)
def test_hard_at_its_edges(name):
    quantizer = aqe.quantizers.get(name)
    np.testing.assert_array_equal(quantizer.hard(EDGES), CASES[name](EDGES))


@pytest.mark.parametrize("name", CASES)
@given(x=arrays)
def test_codes_are_multiples_of_the_unit(name, x):
    quantizer = aqe.quantizers.get(name)
    codes = array(quantizer.codes(x))
    assert np.issubdtype(codes.dtype, np.integer)
    np.testing.assert_array_equal(
        codes.astype("float64") * quantizer.unit,
        array(quantizer.hard(x)).astype("float64"),
    )


@pytest.mark.parametrize("name", CASES)
def test_levels(name):
    quantizer = aqe.quantizers.get(name)
    levels = quantizer.levels
    assert np.all(np.diff(levels) > 0)
    assert np.min(np.abs(levels[levels != 0])) == quantizer.unit
    # each level is its own nearest
    np.testing.assert_array_equal(quantizer.hard(levels), levels)
    dense = np.linspace(-2, 2, 4001, dtype="float32")
    assert np.isin(quantizer.hard(dense), levels).all()


@pytest.mark.parametrize(
    "name, levels",
    [
        ("binary", [-1, 1]),
        ("ternary", [-1, 0, 1]),
        ("po2_2", [-1, 0, 1]),
        ("po2_3", [-1, -0.5, -0.25, 0, 0.25, 0.5, 1]),
        ("fixed_2", [-1, -0.5, 0, 0.5]),
        ("unsigned_1", [0, 1]),
        ("unsigned_2", [0, 0.5, 1, 1.5]),
        ("unsigned_3", [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]),
    ],
)
def test_levels_of_narrow_quantizers(name, levels):
    np.testing.assert_array_equal(aqe.quantizers.get(name).levels, levels)


@pytest.mark.parametrize("bits", [2, 3, 4])
@given(data=st.data())
def test_thresholds_of_ones_own(bits, data):
    q = 2 ** (bits - 1) - 1
    thresholds = data.draw(
        st.lists(
            st.floats(0, 1, width=32, allow_subnormal=False),
            min_size=q,
            max_size=q,
            unique=True,
        ).map(sorted)
    )
    x = data.draw(arrays)
    np.testing.assert_array_equal(
        aqe.quantizers.PowerOfTwo(bits, thresholds=thresholds).hard(x),
        reference.power_of_two(x, bits, thresholds),
    )


@pytest.mark.parametrize(
    "name, factor", [("ternary", 1.4), ("po2_3", 2.5), ("po2_4", 2.5)]
)
def test_kernels_have_relative_thresholds(name, factor):
    kernel = np.random.uniform(-0.02, 0.02, (3, 3, 8, 8)).astype("float32")
    layer = aqe.layers.QuantConv2D(8, 3, kernel_quantizer=name)
    quantizer = layer.kernel_quantizer
    mean = np.float32(np.abs(kernel.astype("float64")).mean())
    midpoints = reference.midpoints(quantizer.bits)
    expected = reference.power_of_two(
        kernel,
        quantizer.bits,
        [np.float32(m * factor) * mean for m in midpoints],
    )
    np.testing.assert_array_equal(quantizer.hard(kernel), expected)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_weight_beside_a_threshold_has_one_code(jit_compile):
    """A graph may multiply in another order than Python, and rounds as well."""
    quantizer = aqe.quantizers.PowerOfTwo(3, relative=True)
    run = compiled(quantizer.hard, jit_compile)
    for threshold in np.random.uniform(0.3, 0.9, 20).astype("float32"):
        # All floats around a threshold, 3/8 of 2.5 times the mean.
        beside = threshold.view("uint32") + np.arange(-50, 50)
        beside = beside.astype("uint32").view("float32")
        others = np.full(900, threshold / 0.9375, "float64")
        others += others.mean() / 9 - beside.sum(dtype="float64") / 900
        kernel = np.concatenate([beside, others]).astype("float32")
        hard = array(quantizer.hard(kernel))
        assert set(hard[:100]) == {0.25, 0.5}
        np.testing.assert_array_equal(
            array(run(keras.ops.convert_to_tensor(kernel))), hard
        )


@pytest.mark.parametrize("name", ["ternary", "po2_3", "po2_4"])
def test_a_fresh_kernel_uses_all_its_levels(name):
    layer = aqe.layers.QuantConv2D(64, 3, kernel_quantizer=name)
    layer.build((None, 8, 8, 64))
    quantizer = layer.kernel_quantizer
    hard = array(quantizer.hard(layer.kernel))
    np.testing.assert_array_equal(np.unique(hard), quantizer.levels)
    assert 0.5 < np.mean(hard != 0)


def test_thresholds_do_not_depend_on_the_order_of_the_sum():
    kernel = np.random.normal(size=5000).astype("float32")
    hard = aqe.quantizers.Ternary(relative=True).hard
    np.testing.assert_array_equal(
        array(hard(kernel[::-1].copy()))[::-1], array(hard(kernel))
    )


@pytest.mark.parametrize("jit_compile", [False, True])
def test_float16_is_numpys(jit_compile):
    patterns = np.arange(2**16, dtype="uint16").view("float16")
    halves = patterns[np.isfinite(patterns)].astype("float32")
    # halves, the middles between neighbours, and the floats next to both
    middles = (np.unique(halves)[1:] + np.unique(halves)[:-1]) / 2
    x = np.concatenate([halves, middles, [1e6, -1e6, 65519.0, 65520.0]])
    x = x.astype("float32")
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf))])
    x = x[(x == 0) | (np.abs(x) >= np.finfo("float32").tiny)]
    hard = compiled(aqe.quantizers.Float16().hard, jit_compile)
    np.testing.assert_array_equal(
        array(hard(keras.ops.convert_to_tensor(x))), reference.float16(x)
    )


@pytest.mark.parametrize("name", CASES)
def test_hard_is_the_same_when_compiled(name):
    x = keras.ops.convert_to_tensor(
        np.random.uniform(-1.2, 1.2, 5000).astype("float32")
    )
    quantizer = aqe.quantizers.get(name)
    run = compiled(quantizer.hard, jit_compile=True)
    np.testing.assert_array_equal(array(run(x)), array(quantizer.hard(x)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "name", ["binary", "ternary", "po2_3", "fixed_8", "unsigned_2"]
)
def test_hard_keeps_the_type_of_its_input(name, dtype):
    x = keras.ops.cast(
        np.random.uniform(-1.2, 1.2, 500).astype("float32"), dtype
    )
    quantizer = aqe.quantizers.get(name)
    hard = quantizer.hard(x)
    assert hard.dtype == x.dtype
    np.testing.assert_array_equal(
        array(keras.ops.cast(hard, "float32")),
        array(quantizer.hard(keras.ops.cast(x, "float32"))),
    )


SCALED = [name for name in CASES if name != "float16"]


@pytest.mark.parametrize("name", SCALED)
@given(x=arrays, power=st.integers(-12, 12))
def test_a_scale_is_that_of_x_and_of_the_levels(name, x, power):
    scale = 2.0**power
    # Products of the least of numbers would be rounded.
    x = np.where(np.abs(x) < 1e-20, np.float32(0), x)
    quantizer = aqe.quantizers.get(name, scale=scale)
    hard = quantizer.hard(x * np.float32(scale))
    np.testing.assert_array_equal(hard, scale * CASES[name](x))
    codes = quantizer.codes(x * np.float32(scale))
    np.testing.assert_array_equal(array(codes) * quantizer.unit, hard)
    levels = aqe.quantizers.get(name).levels
    np.testing.assert_array_equal(quantizer.levels, scale * levels)


@pytest.mark.parametrize("name", ["ternary", "po2_3"])
@pytest.mark.parametrize("scale", [2.0**-5, 4.0])
def test_relative_thresholds_know_no_scale(name, scale):
    kernel = np.random.uniform(-0.02, 0.02, (3, 3, 8, 8)).astype("float32")
    ours, theirs = (
        aqe.quantizers.get(name, scale=s, relative=True) for s in (scale, 1.0)
    )
    np.testing.assert_array_equal(ours.codes(kernel), theirs.codes(kernel))
    np.testing.assert_array_equal(
        ours.hard(kernel), scale * array(theirs.hard(kernel))
    )


def test_thresholds_of_ones_own_are_in_units_of_the_scale():
    x = np.linspace(-9, 9, 1001, dtype="float32")
    np.testing.assert_array_equal(
        aqe.quantizers.Ternary(0.25, scale=8.0).hard(x),
        8 * reference.power_of_two(x, 2, [2.0]),
    )
