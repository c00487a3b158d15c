import sys

import keras
import numpy as np
import pytest

import keras_aqe as aqe

pytest.importorskip("matplotlib").use("Agg")
from matplotlib import pyplot  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


@pytest.mark.slow
def test_histograms(tmp_path):
    values = {
        5: np.full((3, 4), 0.6),
        25: np.linspace(-2, 2, 50),
        55: np.ones(3),
    }
    alphas = {5: 0.53, 25: 0.65, 55: 0.8}
    figure = aqe.plots.blend_histograms(values, alphas, "conv2", "weight")
    assert figure.get_suptitle() == "conv2"
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        "epoch 5, α = 0.53",
        "epoch 25, α = 0.65",
        "epoch 55, α = 0.80",
    ]
    for axis, array in zip(figure.axes, values.values()):
        edges = [bar.get_x() for bar in axis.patches]
        edges.append(axis.patches[-1].get_x() + axis.patches[-1].get_width())
        expected, _ = np.histogram(array, edges)
        shares = [bar.get_height() for bar in axis.patches]
        np.testing.assert_allclose(shares, 100 * expected / array.size)
        assert sum(shares) == pytest.approx(100)
        assert axis.get_xlabel() == "weight"
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_histograms_without_values():
    with pytest.raises(ValueError, match="no epoch"):
        aqe.plots.blend_histograms({})


def test_curves():
    history = keras.callbacks.History()
    history.history = {"accuracy": [0.1, 0.2], "loss": [2.0, 1.0]}
    other = {"accuracy": [0.3, 0.4, 0.5], "loss": [1.0, 0.5, 0.2]}
    figure = aqe.plots.training_curves({"AQE": history, "STE": other})
    assert [axis.get_ylabel() for axis in figure.axes] == ["accuracy", "loss"]
    for axis in figure.axes:
        assert axis.get_xlabel() == "epoch"
        (one, two), metric = axis.get_lines(), axis.get_ylabel()
        np.testing.assert_array_equal(one.get_xdata(), [1, 2])
        np.testing.assert_array_equal(two.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(one.get_ydata(), history.history[metric])
        np.testing.assert_array_equal(two.get_ydata(), other[metric])
        assert one.get_color() != two.get_color()
        assert one.get_linestyle() != two.get_linestyle()
        legend = [text.get_text() for text in axis.get_legend().get_texts()]
        assert legend == ["AQE", "STE"]


def test_curves_of_a_metric_that_is_not_there():
    with pytest.raises(ValueError, match=r"'STE'.*'accuracy'.*\['loss'\]"):
        aqe.plots.training_curves({"STE": {"loss": [1.0]}})


@pytest.mark.parametrize("name", ["binary", "ternary", "po2_3", "fixed_3"])
def test_what_a_quantizer_does(name):
    quantizer = aqe.quantizers.get(name)
    before = float(quantizer.alpha)
    figure = aqe.plots.quantizer_curves(quantizer, (0.25, 1.0), reach=1.5)
    outputs, gradients = (axis.get_lines() for axis in figure.axes)
    for alpha, output, gradient in zip((0.25, 1.0), outputs, gradients):
        x = output.get_xdata()
        assert (x.min(), x.max()) == (-1.5, 1.5)
        hard = keras.ops.convert_to_numpy(quantizer.hard(x))
        np.testing.assert_allclose(
            output.get_ydata(), alpha * hard + (1 - alpha) * x, atol=1e-6
        )
        np.testing.assert_allclose(
            gradient.get_ydata(), 2 * alpha * (abs(x) <= 1), atol=1e-6
        )
    assert set(outputs[1].get_ydata()) == set(quantizer.levels)
    assert float(quantizer.alpha) == before
    assert float(quantizer.trained_alpha) == 0


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"keras-aqe\[plots\]"):
        aqe.plots.blend_histograms({1: np.zeros(3)})
