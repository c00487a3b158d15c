import functools
import itertools

import keras
import numpy as np
import pytest

import keras_aqe as aqe

K = keras.layers
WIDTHS = (1, (2, 1), 3)


@functools.cache
def network():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), K.Conv2D(4, 3, name="conv")], name="inner"
    )
    inputs = keras.Input((6, 6, 3))
    x = K.Conv2D(4, 1, activation="relu", name="first")(inputs)
    x = K.DepthwiseConv2D(2, padding="same", name="depth")(x)
    x = inner(K.BatchNormalization()(x))
    x = K.Flatten()(K.ReLU()(x))
    x = K.Dense(5, name="dense")(x)
    return keras.Model(inputs, K.Dense(3, name="last")(x))


def data():
    return np.random.default_rng(0).normal(size=(8, 6, 6, 3)).astype("float32")


@functools.cache
def scanned(verbose=0):
    return aqe.recipes.sensitivity(network(), data(), WIDTHS, verbose=verbose)


def mean_corrected(twin, path, x):
    """The float model's outputs with one layer of a twin, by hand."""
    model = network()
    *_, name = path.split("/")
    outer = model.get_layer("inner") if "/" in path else model
    layer = outer.get_layer(name)
    ours = (twin.get_layer("inner") if "/" in path else twin).get_layer(name)

    class Corrected(K.Layer):
        def call(self, inputs):
            expected, found = layer(inputs), ours(inputs)
            axes = tuple(range(len(expected.shape) - 1))
            gap = np.asarray(expected).mean(axes) - np.asarray(found).mean(axes)
            return found + gap

    x = model.get_layer("first")(x)
    for other in model.layers[2:]:
        for inner in other.layers if other.name == "inner" else [other]:
            x = Corrected()(x) if inner is layer else inner(x)
    return np.asarray(x)


@pytest.mark.slow
def test_changes_are_those_of_one_layer_at_a_time():
    scan, x = scanned(), data()
    assert [row.path for row in scan.rows] == ["depth", "inner/conv", "dense"]
    assert scan.widths == [(1, 1), (2, 1), (3, 3)]
    expected = np.asarray(network()(x))
    for column, pair in enumerate(scan.widths):
        twin = aqe.quantize_model(network(), *pair, depthwise_bits=None, data=x)
        for row in scan.rows:
            outputs = mean_corrected(twin, row.path, x)
            change = np.mean((outputs - expected) ** 2) / np.mean(expected**2)
            assert row.changes[column] == pytest.approx(change, rel=1e-4)


def test_depthwise_layers_may_be_left_out():
    scan = aqe.recipes.sensitivity(
        network(), data(), (1, (8, 8)), depthwise_bits=(8, 3)
    )
    assert [row.path for row in scan.rows] == ["inner/conv", "dense"]
    assert scan.fixed_bytes == scanned().fixed_bytes + 4 * 4  # of 8 bits


def test_costs_are_those_of_the_summary():
    scan = scanned()
    table = aqe.summary(network(), print_fn=lambda text: None)
    assert {row.path.split("/")[-1]: row.macs for row in scan.rows} == {
        row.name: row.macs
        for row in table.rows
        if row.name in ("depth", "conv", "dense")
    }
    edges = [row for row in table.rows if row.name in ("first", "last")]
    assert scan.fixed_bytes == sum(row.memory for row in edges)
    assert scan.fixed_bops == 1024 * sum(row.macs for row in edges)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["bytes", "bops"])
def test_overrides_are_the_best_of_all_combinations(unit):
    """The total cost is that of the model that they make."""
    scan = scanned()

    def cost(pairs):
        return sum(
            -(-row.weights * pair[1] // 8)
            if unit == "bytes"
            else row.macs * pair[0] * pair[1]
            for row, pair in zip(scan.rows, pairs)
        )

    combinations = list(itertools.product(range(3), repeat=3))
    costs = [cost([scan.widths[n] for n in chosen]) for chosen in combinations]
    losses = [
        sum(row.changes[n] for row, n in zip(scan.rows, chosen))
        for chosen in combinations
    ]
    fixed = scan.fixed_bytes if unit == "bytes" else scan.fixed_bops
    for budget in sorted({*costs, max(costs) + 1}):
        overrides = scan.overrides(**{f"max_{unit}": fixed + budget})
        pairs = list(overrides.values())
        assert list(overrides) == [row.path for row in scan.rows]
        assert cost(pairs) <= budget
        found = sum(
            row.changes[scan.widths.index(pair)]
            for row, pair in zip(scan.rows, pairs)
        )
        best = min(v for v, c in zip(losses, costs) if c <= budget)
        assert found == pytest.approx(best)
    twin = aqe.quantize_model(network(), 1, 1, overrides=overrides)
    table = aqe.summary(twin, print_fn=lambda text: None)
    if unit == "bytes":
        assert table.memory == fixed + cost(pairs)


def test_is_the_same_each_time_and_prints():
    again = aqe.recipes.sensitivity(network(), data(), WIDTHS)
    assert again.to_dict() == scanned().to_dict()
    text = str(again)
    for page in (text, again._repr_html_()):
        assert "2/1 bit" in page and "inner/conv" in page


def test_by_a_loss():
    x, labels = data(), np.arange(8) % 3
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    scan = aqe.recipes.sensitivity(
        network(), x, [1], targets=labels, loss=loss, skip=["depth", "dense"]
    )
    (row,) = scan.rows
    twin = aqe.quantize_model(network(), 1, 1, data=x)
    expected = float(loss(labels, mean_corrected(twin, row.path, x)))
    before = float(loss(labels, np.asarray(network()(x))))
    assert row.changes[0] == pytest.approx(expected - before, abs=1e-5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: scanned().overrides(), "one budget"),
        (lambda: scanned().overrides(max_bytes=1, max_bops=1), "one budget"),
        (lambda: scanned().overrides(max_bytes=9), "`max_bytes` is 9, but"),
        (lambda: scanned().overrides(max_bops=9), "`max_bops` is 9, but"),
        (
            lambda: aqe.recipes.sensitivity(network(), data(), []),
            "`widths` is empty",
        ),
        (
            lambda: aqe.recipes.sensitivity(network(), data(), [32]),
            "at most 16.*32",
        ),
        (
            lambda: aqe.recipes.sensitivity(network(), data(), loss="mse"),
            "together",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_inputs_of_unknown_size():
    inputs = keras.Input((None, None, 2))
    x = K.Conv2D(2, 1)(K.Conv2D(2, 1, name="b")(K.Conv2D(2, 1)(inputs)))
    scan = aqe.recipes.sensitivity(
        keras.Model(inputs, x), np.ones((1, 2, 2, 2)), [1]
    )
    assert scan.overrides(max_bytes=10**6) == {"b": (1, 1)}
    with pytest.raises(ValueError, match="fixed size"):
        scan.overrides(max_bops=10**9)


@pytest.mark.slow
def test_progress_is_shown_where_it_is_asked_for(capsys):
    assert repr(scanned(verbose=1)) == repr(scanned())
    printed = capsys.readouterr()
    assert "scanning" in printed.err and "100%" in printed.err
    layers = len(scanned().rows)
    assert f"{layers} layers at {len(WIDTHS)} widths" in repr(scanned())
