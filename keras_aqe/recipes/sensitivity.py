"""How much it costs to quantize each layer of a float model alone."""

import dataclasses
import functools
import math
import numbers
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from rich.table import Table

from keras_aqe import progress, tables
from keras_aqe.costs import bit_operations
from keras_aqe.graph import Call, as_inputs, functional, run
from keras_aqe.multiplying import MULTIPLYING, kernels, positions
from keras_aqe.quantization.quantize_model import quantize_model
from keras_aqe.recipes import budget


@dataclasses.dataclass(frozen=True)
class LayerSensitivity:
    """One layer of the scan.

    Args:
        path: Names of the models that it is nested in and its own.
        weights: Number of its kernel's weights.
        macs: Multiply-accumulates of one inference; `None` where a size of
            the input is not known.
        changes: For each pair of widths what the model loses where this layer
            alone is quantized.
    """

    path: str
    weights: int
    macs: int | None
    changes: tuple[float, ...]


@dataclasses.dataclass(frozen=True, repr=False)
class Sensitivity:
    """What `sensitivity` found; prints as a table.

    Args:
        name: Name of the model.
        measure: What `changes` are, in a few words.
        widths: Pairs of widths (input, kernel) that were tried.
        rows: A `LayerSensitivity` for each layer that was scanned.
        fixed_bytes: Bytes of the kernels of all other layers.
        fixed_bops: Their bit operations; `None` where a size is not known.

    Example:

    ```pycon
    >>> rows = [
    ...     LayerSensitivity("conv", 800, 6400, changes=(0.5, 0.1)),
    ...     LayerSensitivity("dense", 80, 80, changes=(0.4, 0.2)),
    ... ]
    >>> scan = Sensitivity("net", "change", [(1, 1), (2, 2)], rows, 0, 0)
    >>> scan.overrides(max_bytes=120)
    {'conv': (1, 1), 'dense': (2, 2)}

    ```
    """

    name: str
    measure: str
    widths: list[tuple[int, int]]
    rows: list[LayerSensitivity]
    fixed_bytes: int
    fixed_bops: int | None

    def overrides(
        self, *, max_bytes: int | None = None, max_bops: int | None = None
    ) -> dict[str, tuple[int, int]]:
        """Chooses widths: the least sum of changes within a budget.

        Each layer gets one of the pairs of widths that were tried, so that
        what its layers lose adds up to as little as can be (a multiple-choice
        knapsack problem, solved exactly up to a 100,000th of the budget).

        Args:
            max_bytes: What the model's kernels may take, those included that
                were not scanned.
            max_bops: What one inference may take in bit operations
                (`keras_aqe.costs.bit_operations`), likewise.

        Returns:
            `overrides` for `keras_aqe.quantize_model`.

        Raises:
            ValueError: If not just one of the two budgets is given, or if not
                even the narrowest widths fit it.
        """
        given = {"max_bytes": max_bytes, "max_bops": max_bops}
        limits = {name: n for name, n in given.items() if n is not None}
        if len(limits) != 1:
            raise ValueError(
                "Give one budget, `max_bytes` or `max_bops`. Received: "
                f"max_bytes={max_bytes}, max_bops={max_bops}"
            )
        ((argument, limit),) = limits.items()
        in_bytes = argument == "max_bytes"
        fixed, costs = self._bytes() if in_bytes else self._bops()
        least = fixed + sum(map(min, costs))
        if least > limit:
            raise ValueError(
                f"`{argument}` is {limit:,}, but the narrowest widths take "
                f"{least:,}, of which {fixed:,} are of layers that were not "
                "scanned. Try narrower `widths`, or a narrower "
                "`first_last_bits`."
            )
        losses = [row.changes for row in self.rows]
        chosen = budget.choose(losses, costs, limit - fixed)
        return {row.path: self.widths[n] for row, n in zip(self.rows, chosen)}

    def _bytes(self):
        """Bytes of the other layers' kernels, and of each row's options."""
        return self.fixed_bytes, [
            [_bytes(row.weights, kernel) for _, kernel in self.widths]
            for row in self.rows
        ]

    def _bops(self):
        """Bit operations of the other layers, and of each row's options."""
        if self.fixed_bops is None or None in [row.macs for row in self.rows]:
            raise ValueError(
                "`max_bops` needs the number of positions of every layer. "
                "Build the model with inputs of fixed size."
            )
        return self.fixed_bops, [
            [bit_operations(row.macs, *pair) for pair in self.widths]
            for row in self.rows
        ]

    def __repr__(self) -> str:
        return (
            f"<Sensitivity of {self.name!r}, {len(self.rows)} layers at "
            f"{len(self.widths)} widths>"
        )

    def to_dict(self) -> dict[str, Any]:
        """The scan as plain data."""
        return dataclasses.asdict(self)

    def _table(self):
        table = Table(
            title=f"Model: {self.name}, {self.measure}", title_justify="left"
        )
        table.add_column("layer")
        table.add_column("weights", justify="right")
        for wide, kernel in self.widths:
            table.add_column(f"{wide}/{kernel} bit", justify="right")
        for row in self.rows:
            changes = [f"{change:.4g}" for change in row.changes]
            table.add_row(row.path, f"{row.weights:,}", *changes)
        return table

    def __str__(self) -> str:
        return tables.render(self._table())

    def _repr_html_(self) -> str:
        return tables.html(self._table())


def sensitivity(
    model: keras.Model,
    data: Any,
    widths: Iterable[int | tuple[int, int]] = (1, 2, 3),
    *,
    targets: Any = None,
    loss: Any = None,
    verbose: int = 0,
    **options: Any,
) -> Sensitivity:
    """Quantizes one layer of a float model at a time and measures the loss.

    The layer's mean output of each channel is brought back to that of the
    float layer, as batch normalisation or a bias learns to do once the
    network is trained on (Nagel et al., 2019, "Data-free quantization through
    weight equalization and bias correction"). What is measured is the squared
    change of the outputs as a share of their square, or with `loss` by how
    much that rises. Nothing is random: the same model and data give the same
    table.

    Choosing widths by such a scan takes the losses of layers for independent
    (Dong et al., 2020, "HAWQ-V2"), which training does not promise.

    Args:
        model: A built Functional or Sequential float model.
        data: Inputs of one batch, in the structure that the model takes.
        widths: Widths to try, or pairs (input, kernel).
        targets: Targets of the batch, for `loss`.
        loss: A loss of Keras or its name, as for `compile`, of a model of one
            output; `None` measures the change of the outputs.
        verbose: 0 for silence, 1 for a progress bar.
        **options: Arguments of `keras_aqe.quantize_model` (`first_last_bits`,
            `depthwise_bits`, `skip`, `overrides`). Layers that they decide
            about are not scanned. Depthwise layers are, unless
            `depthwise_bits` is given.

    Returns:
        A `Sensitivity`, whose `overrides` chooses widths for a budget.

    Raises:
        ValueError: As `quantize_model` does, or if `loss` and `targets` are
            not given together.

    Example:

    ```pycon
    >>> model = keras.Sequential([keras.Input((8, 8, 3))] + [
    ...     keras.layers.Conv2D(4, 2, activation="relu", name=name)
    ...     for name in ("first", "second", "third", "last")
    ... ])
    >>> x = np.random.default_rng(0).normal(size=(16, 8, 8, 3))
    >>> scan = sensitivity(model, x, widths=(1, 2, 3))
    >>> [row.path for row in scan.rows]
    ['second', 'third']
    >>> overrides = scan.overrides(max_bytes=scan.fixed_bytes + 60)
    >>> twin = aqe.quantize_model(model, 2, 2, overrides=overrides)

    ```
    """
    if (targets is None) != (loss is None):
        raise ValueError("Give `loss` and `targets` together, or neither.")
    graph = functional(model, "sensitivity")
    pairs = [_pair(width) for width in widths]
    if not pairs:
        raise ValueError("`widths` is empty: give at least one width.")
    inputs = as_inputs(graph, data, "data")
    expected = run(graph, inputs, Call.infer)
    change = functools.partial(_change, expected)
    measure = "squared change of the outputs"
    if loss is not None:
        measure = f"rise of {loss if isinstance(loss, str) else 'the loss'}"
        change = _rise(keras.losses.get(loss), targets, expected)
    options = {"depthwise_bits": None, **options}
    changes: dict[str, list[float]] = {}
    with progress.bar("scanning", verbose, len(pairs)) as done:
        for number, pair in enumerate(pairs):
            twin = quantize_model(model, *pair, data=data, **options)
            report = twin.quantization_report
            scanned = [row for row in report.quantized if not row.note]
            for count, row in enumerate(scanned, 1):
                layer = _layer(twin, row.path)
                visit = functools.partial(_call_with, row.path, layer)
                found = change(run(graph, inputs, visit))
                changes.setdefault(row.path, []).append(found)
                done(number + count / len(scanned))
    return _scan(model.name, measure, pairs, changes, report, graph)


def _pair(width):
    pair = (
        (width, width) if isinstance(width, numbers.Integral) else tuple(width)
    )
    if len(pair) != 2 or max(pair) > 16:
        raise ValueError(
            "`widths` must be widths of at most 16 bits or pairs of them "
            f"(input, kernel). Received: {width!r}"
        )
    return pair


def _call_with(path, layer, call):
    """A call at inference, with a quantized layer in place of a path's."""
    expected = call.infer()
    if call.path != path:
        return expected
    result = layer(*call.args, training=False)
    channels_first = getattr(layer, "data_format", "") == "channels_first"
    channel = 1 if channels_first else len(result.shape) - 1
    axes = [axis for axis in range(len(result.shape)) if axis != channel]
    error = keras.ops.mean(expected - result, axis=axes, keepdims=True)
    return result + error


def _layer(model, path):
    for name in path.split("/"):
        model = model.get_layer(name)
    return model


def _change(expected, outputs):
    """The squared change of the outputs, as a share of their square."""
    total = 0.0
    for before, after in zip(expected, outputs):
        before = np.asarray(keras.ops.convert_to_numpy(before), "float64")
        after = np.asarray(keras.ops.convert_to_numpy(after), "float64")
        size = np.mean(before**2) or 1.0
        total += float(np.mean((after - before) ** 2) / size)
    return total


def _rise(loss, targets, expected):
    def value(outputs):
        if len(outputs) != 1:
            raise ValueError(
                f"`loss` is for models of one output. Received: {len(outputs)}"
            )
        mean = keras.ops.mean(loss(targets, outputs[0]))
        return float(keras.ops.convert_to_numpy(mean))

    before = value(expected)
    return lambda outputs: value(outputs) - before


def _bytes(weights, bits):
    return -(-weights * bits // 8)


def _scan(name, measure, pairs, changes, report, graph):
    """The scan's table, with what all layers cost."""
    sizes: dict[str, tuple[int, int | None]] = {}

    def visit(call):
        if isinstance(call.operation, MULTIPLYING):
            sizes[call.path] = _size(call, sizes.get(call.path, (0, 0))[1])
        return [None] * len(call.node.output_tensors)

    run(graph, [None] * len(graph.inputs), visit)
    rows: list[LayerSensitivity] = []
    fixed_bytes = 0
    fixed_bops: int | None = 0
    bits = {r.path: (r.input_bits, r.weight_bits) for r in report.rows}
    for path, (weights, macs) in sizes.items():
        if path in changes:
            found = tuple(changes[path])
            rows.append(LayerSensitivity(path, weights, macs, found))
            continue
        wide, kernel = bits[path]
        fixed_bytes += _bytes(weights, kernel)
        if macs is None or fixed_bops is None:
            fixed_bops = None
        else:
            fixed_bops += bit_operations(macs, wide, kernel)
    return Sensitivity(name, measure, pairs, rows, fixed_bytes, fixed_bops)


def _size(call, macs):
    """Weights of a layer, and multiply-accumulates of its calls so far."""
    weights = sum(math.prod(k.shape) for k in kernels(call.operation))
    try:
        places = positions(
            call.operation,
            call.node.input_tensors[0].shape,
            call.node.output_tensors[0].shape,
        )
    except ValueError:
        return weights, None
    return weights, None if macs is None else macs + places * weights
