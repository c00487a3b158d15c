"""The figures of Chen et al., 2020, drawn from your own runs."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_aqe import backend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_aqe.quantizers import Quantizer

__all__ = ["blend_histograms", "quantizer_curves", "training_curves"]

# Told apart by colour-blind readers too (Okabe and Ito, 2008), and by their
# lines where there is no colour.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000")
_LINES = ("-", "--", "-.", ":")


def blend_histograms(
    values: Mapping[Any, np.ndarray],
    alphas: Mapping[Any, float] | None = None,
    title: str | None = None,
    xlabel: str = "blended value",
) -> Figure:
    """Draws histograms of blended values, one panel for each epoch.

    As alpha rises, the blend `alpha * h(x) + (1 - alpha) * x` gathers around
    the levels of `h`: for one bit, the band of half-width alpha around 0 is
    empty (Chen et al., 2020, Fig. 1 to 4).

    Args:
        values: `{epoch: array}` of any shapes, such as the `kernels` or
            `activations` of a `keras_aqe.callbacks.BlendHistory`; or
            `{heading: array}` for panels of anything else.
        alphas: `{epoch: alpha}`, shown above the panels. `None` leaves it
            out.
        title: Title of the figure.
        xlabel: Label of the horizontal axes.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If `values` is empty.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    import numpy as np
    import keras_aqe as aqe

    # A `keras_aqe.callbacks.BlendHistory` gathers these in `model.fit`.
    kernels = {1: np.random.normal(size=100), 20: np.ones(100)}
    figure = aqe.plots.blend_histograms(kernels, {1: 0.5, 20: 1.0})
    figure.savefig("figure1.png")
    ```
    """
    if not values:
        raise ValueError(
            "`values` holds no epoch. Pass `{epoch: array}`; a `BlendHistory` "
            "is filled at the epochs that were chosen for it."
        )
    figure, axes = _pyplot().subplots(
        1,
        len(values),
        figsize=(3.2 * len(values), 2.8),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    reach = max(1.0, *(float(np.abs(v).max()) for v in values.values()))
    bins = np.linspace(-1.02 * reach, 1.02 * reach, 103)
    for axis, (epoch, array) in zip(axes[0], values.items()):
        array = np.ravel(array)
        # Shares in percent, so that layers of any size compare.
        weights = np.full(array.size, 100 / array.size)
        axis.hist(array, bins, weights=weights, color=_COLOURS[0])
        heading = epoch if isinstance(epoch, str) else f"epoch {epoch}"
        if alphas is not None:
            heading += f", α = {alphas[epoch]:.2f}"
        axis.set_title(heading, fontsize="medium")
        axis.set_xlabel(xlabel)
    axes[0, 0].set_ylabel("share of values [%]")
    figure.suptitle(title)
    return figure


def quantizer_curves(
    quantizer: Quantizer,
    alphas: Sequence[float] = (0.1, 0.5, 1.0),
    reach: float = 1.25,
    title: str | None = None,
) -> Figure:
    """Draws what a quantizer returns in training, and its gradient.

    The first panel has the estimator's output over `x` (for AQE the blend
    `alpha * h(x) + (1 - alpha) * x`), the second its gradient as it is
    computed, a curve for each alpha. At alpha = 1 the output is `h(x)`, which
    is what inference has.

    Args:
        quantizer: A `keras_aqe.quantizers.Quantizer`. It is left as it was.
        alphas: Values of alpha in (0, 1].
        reach: The panels go from `-reach` to `reach`.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    import keras_aqe as aqe

    figure = aqe.plots.quantizer_curves(aqe.quantizers.get("po2_3"))
    figure.savefig("po2_3.svg")
    ```
    """
    x = np.linspace(-reach, reach, 2001, dtype="float32")
    figure, axes = _pyplot().subplots(
        1, 2, figsize=(6.4, 2.6), layout="constrained"
    )
    before = keras.ops.convert_to_numpy(quantizer.alpha)
    for alpha, line, colour in zip(
        alphas, itertools.cycle(_LINES), itertools.cycle(_COLOURS)
    ):
        quantizer.alpha.assign(alpha)
        blend = quantizer.blend(keras.ops.convert_to_tensor(x))
        for axis, values in zip(
            axes,
            (
                keras.ops.convert_to_numpy(blend),
                backend.gradient(quantizer.blend, x),
            ),
        ):
            axis.plot(x, values, line, color=colour, label=f"α = {alpha:g}")
    quantizer.alpha.assign(before)
    for axis, heading in zip(axes, ("output", "gradient")):
        axis.set_title(heading, fontsize="medium")
        axis.set_xlabel("x")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="small")
    figure.suptitle(title)
    return figure


def training_curves(
    histories: Mapping[str, Any],
    metrics: Sequence[str] = ("accuracy", "loss"),
    title: str | None = None,
) -> Figure:
    """Draws metrics by epoch, one panel each, a curve for each run.

    With the hard accuracy and loss of an AQE and an STE run this is
    Chen et al., 2020, Fig. 5.

    Args:
        histories: `{label: history}`, each what `model.fit` returned or a
            dictionary `{metric: values by epoch}`.
        metrics: Names of the metrics.
        title: Title of the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If a history does not have a metric.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    import keras_aqe as aqe

    # What `model.fit` returns will do too.
    histories = {"AQE": {"loss": [2.1, 1.7]}, "STE": {"loss": [2.2, 1.9]}}
    figure = aqe.plots.training_curves(histories, metrics=["loss"])
    figure.savefig("figure5.png")
    ```
    """
    curves = {
        label: getattr(history, "history", history)
        for label, history in histories.items()
    }
    for label, history in curves.items():
        for metric in metrics:
            if metric not in history:
                raise ValueError(
                    f"The history of {label!r} has no metric {metric!r}. It "
                    f"has {sorted(history)}."
                )
    figure, axes = _pyplot().subplots(
        1,
        len(metrics),
        figsize=(4.4 * len(metrics), 3.2),
        squeeze=False,
        layout="constrained",
    )
    for axis, metric in zip(axes[0], metrics):
        for index, (label, history) in enumerate(curves.items()):
            values = history[metric]
            axis.plot(
                range(1, len(values) + 1),
                values,
                _LINES[index % len(_LINES)],
                color=_COLOURS[index % len(_COLOURS)],
                label=label,
            )
        axis.set_xlabel("epoch")
        axis.set_ylabel(metric.replace("_", " "))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title)
    return figure


def _pyplot():
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError(
            "`keras_aqe.plots` draws with matplotlib, which is not installed. "
            "Install it with `pip install 'keras-aqe[plots]'`."
        ) from error
