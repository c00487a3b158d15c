"""Figures 1 to 5 of Chen et al., 2020, from finished runs."""

import numpy as np

import keras_aqe as aqe
from examples.reproduce import curves, runs


def write(sweep, finished):
    """Draws the figure of an experiment; returns Markdown that shows it."""
    figure, scale = sweep.config["figure"], sweep.args.scale
    records = [
        finished[runs.key(planned.run)]
        for planned in sweep.resolved()
        if runs.key(planned.run) in finished
    ]
    if not records:
        return []
    if figure["kind"] == "curves":
        return [_training_curves(records, sweep.args.output)]
    return [
        _histograms(record, kind, figure["epochs"][scale], sweep.args.output)
        for record in records
        for kind in ("weights", "activations")
    ]


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


def _histograms(record, kind, epochs, output):
    """One of Figures 1 to 4: a panel for each epoch."""
    # Imported here, as in `keras_aqe.plots`: it is an optional dependency.
    from matplotlib import pyplot

    widths = "/".join(map(str, record["run"]["bits"]))
    alphas = {line["epoch"]: line["alpha"] for line in record["epochs"]}
    lines = {
        line["epoch"]: line[kind]
        for line in curves.read(
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
        axis.stairs(100 * counts / counts.sum(), curves.BINS, fill=True)
        axis.set_title(
            f"epoch {epoch}, α = {alphas[epoch]:.2f}", fontsize="medium"
        )
        axis.set_xlabel(f"blended {kind}")
    axes[0, 0].set_ylabel("share of values [%]")
    drawn.suptitle(f"Second convolution, {widths}")
    path = output / f"{kind}-{widths.replace('/', '-')}.png"
    return _save(drawn, path, f"Blended {kind}, {widths}")


def _save(drawn, path, title):
    drawn.savefig(path, dpi=120)
    return f"\n![{title}]({path.name})"
