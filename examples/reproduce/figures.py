"""Figures 1 to 5 of Chen et al., 2020, and the study's, from finished runs."""

import numpy as np

import keras_aqe as aqe
from examples.reproduce import store

BINS = np.linspace(-1.05, 1.05, 85)


def write(figure, records, args):
    """Draws the figure of a stage; returns lines of Markdown that show it.

    Args:
        figure: `kind` of the figure: "curves" is Figure 5, "histograms" are
            Figures 1 to 4, at the `epochs` of each scale, and "blend" is the
            blend's accuracy beside the hard network's.
        records: Finished runs of the stage.
        args: The command's `scale` and `output`.
    """
    if figure["kind"] != "curves":
        records = [r for r in records if r.get("backend") != "jax"]
        if not records:
            return [
                "Only runs under TensorFlow keep what the figure shows.",
                "",
            ]
    if figure["kind"] == "curves":
        return _training_curves(records, args.output)
    if figure["kind"] == "blend":
        return _blend(records, args.output)
    lines = []
    for record in records:
        for kind in ("weights", "activations"):
            epochs = figure["epochs"][args.scale]
            lines += _histograms(record, kind, epochs, args.output)
    return lines


def _training_curves(records, output):
    """Figure 5: hard accuracy and loss on training images by epoch."""
    histories = {
        record["run"]["estimator"].upper(): {
            name: [epoch[f"hard_training_{name}"] for epoch in record["epochs"]]
            for name in ("accuracy", "loss")
        }
        for record in records
    }
    drawn = aqe.plots.training_curves(
        histories, title="Training images, hard quantizers"
    )
    return _save(drawn, output / "figure5.png", "AQE and STE by epoch")


def _blend(records, output):
    """Validation accuracy by epoch of the blend and of the hard network."""
    histories = {
        label: {
            _widths(record): [
                epoch[f"{name}_validation_accuracy"]
                for epoch in record["epochs"]
            ]
            for record in records
        }
        for label, name in (("hard", "hard"), ("blend", "soft"))
    }
    widths = list(histories["hard"])
    drawn = aqe.plots.training_curves(
        histories, widths, title="Held-out images, AQE"
    )
    for axis, title in zip(drawn.axes, widths):
        axis.set_title(title, fontsize="medium")
        axis.set_ylabel("accuracy")
    return _save(drawn, output / "blend.png", "Blend and hard network by epoch")


def _histograms(record, kind, epochs, output):
    """One of Figures 1 to 4: a panel for each epoch."""
    # Imported here, as in `keras_aqe.plots`: it is an optional dependency.
    from matplotlib import pyplot

    widths = _widths(record)
    alphas = {line["epoch"]: line["alpha"] for line in record["epochs"]}
    lines = {
        line["epoch"]: line[kind]
        for line in store.epochs(
            output / "runs" / record["id"] / "histograms.jsonl"
        )
    }
    drawn, axes = pyplot.subplots(
        1,
        len(epochs),
        figsize=(3.2 * len(epochs), 2.8),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, epoch in zip(axes[0], epochs):
        counts = np.array(lines[epoch])
        axis.stairs(100 * counts / counts.sum(), BINS, fill=True)
        for sign in (-1, 1):
            axis.axvline(sign * alphas[epoch], color="grey", linestyle=":")
        axis.set_title(
            f"epoch {epoch}, α = {alphas[epoch]:.2f}", fontsize="medium"
        )
        axis.set_xlabel(f"blended {kind}")
    axes[0, 0].set_ylabel("share of values [%]")
    drawn.suptitle(f"Second convolution, {widths}; dotted: ±α")
    path = output / f"{kind}-{widths.replace('/', '-')}.png"
    return _save(drawn, path, f"Blended {kind}, {widths}")


def _widths(record):
    return "/".join(map(str, record["run"]["bits"]))


def _save(drawn, path, title):
    drawn.savefig(path, dpi=120)
    return [f"![{title}]({path.name})", ""]
