"""A model's widths, operations, multiply-accumulates and memory."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from rich.table import Table

import keras_aqe
from keras_aqe import costs, graph, layers, tables
from keras_aqe.inference import WIDTH_KEEPING, is_identity
from keras_aqe.multiplying import MULTIPLYING, SEPARABLE, kernels, positions
from keras_aqe.quantizers import Quantizer


@dataclasses.dataclass(frozen=True)
class Row(costs.LayerCosts):
    """One kernel of the model.

    Args:
        name: Name of the layer; for a separable convolution followed by
            "/depthwise" or "/pointwise".
        input_bits: Width of the layer's input; 32 is not quantized.
        weight_bits: Width of the kernel; 32 is not quantized.
        weights: Number of the kernel's weights.
        macs: Multiply-accumulates of one inference.
        operation: XNOR, SHIFT or MAC, with "ADDER" where the sum is float.
        memory: Bytes of the kernel at its width.
        op: Operators of a target that carry the layer, where `summary` was
            given a target; else empty.
        kernel: What runs these here, likewise.
        arithmetic: What that does, as in a row of `keras_aqe.check`, likewise.
        bytes: Bytes that the layer takes in a file of the target, likewise;
            else `memory`.
    """

    name: str
    input_bits: int
    weight_bits: int
    weights: int
    macs: int
    operation: str
    memory: int
    op: str = ""
    kernel: str = ""
    bytes: int = 0
    arithmetic: str = ""

    @property
    def _kernel_bytes(self) -> float:
        return self.memory


@dataclasses.dataclass(frozen=True, repr=False)
class Summary(costs.TotalCosts):
    """Rows of `keras_aqe.summary` and their totals; prints as a table.

    Args:
        name: Name of the model.
        rows: A `Row` for each kernel, in the order of the graph.
        other_parameters: Number of all other weights (biases, batch
            normalisation, layers without a row), 32 bits each.
    """

    name: str
    rows: list[Row]
    other_parameters: int

    @property
    def weights(self) -> int:
        """Number of weights in all kernels."""
        return sum(row.weights for row in self.rows)

    @property
    def memory(self) -> int:
        """Bytes of all kernels at their widths."""
        return sum(row.memory for row in self.rows)

    @property
    def macs_by_operation(self) -> dict[str, int]:
        """Multiply-accumulates of one inference, `{operation: number}`."""
        macs: dict[str, int] = {}
        for row in self.rows:
            macs[row.operation] = macs.get(row.operation, 0) + row.macs
        return macs

    def to_dict(self) -> dict[str, Any]:
        """The rows and the totals as what JSON has."""
        return {
            "name": self.name,
            "rows": [
                {
                    **dataclasses.asdict(row),
                    "bops": row.bops,
                    "energy": row.energy,
                }
                for row in self.rows
            ],
            "weights": self.weights,
            "memory": self.memory,
            "macs": self.macs,
            "bops": self.bops,
            "energy": self.energy,
            "macs_by_operation": self.macs_by_operation,
            "other_parameters": self.other_parameters,
        }

    def _costs(self) -> list[Row]:
        return self.rows

    def __repr__(self) -> str:
        return (
            f"<Summary of {self.name!r}, {len(self.rows)} kernels, "
            f"{self.memory:,} bytes, {self.macs:,} MACs>"
        )

    def __str__(self) -> str:
        return tables.render(self._table()) + self._rest()

    def _repr_html_(self) -> str:
        return f"{tables.html(self._table())}<p>{self._rest()}</p>"

    def _rest(self):
        return (
            f"Kernels: {self.memory / 2**20:.3f} MiB. Other parameters: "
            f"{self.other_parameters:,} of 32 bit."
        )

    def _table(self):
        table = Table(title=f"Model: {self.name}", title_justify="left")
        for heading in ("layer", "input", "kernel", "operation"):
            table.add_column(heading)
        ops = [(row.op, tables.running(row)) for row in self.rows]
        if has_ops := any(op for op, _ in ops):
            table.add_column("op")
            table.add_column("runs by")
        for heading in ("weights", "MACs", "BOPs", "µJ", "bytes"):
            table.add_column(heading, justify="right")

        def add(names, op, *numbers):
            table.add_row(*names, *(op if has_ops else ()), *numbers)

        for row, op in zip(self.rows, ops):
            add(
                (
                    row.name,
                    f"{row.input_bits} bit",
                    f"{row.weight_bits} bit",
                    row.operation,
                ),
                op,
                f"{row.weights:,}",
                f"{row.macs:,}",
                tables.count(row.bops),
                f"{row.energy:.3g}",
                f"{row.bytes or row.memory:,}",
            )
        table.add_section()
        nothing = ("", "")
        for operation_, macs in self.macs_by_operation.items():
            names = ("", "", "", operation_)
            add(names, nothing, "", f"{macs:,}", "", "", "")
        add(
            ("total", "", "", ""),
            nothing,
            f"{self.weights:,}",
            f"{self.macs:,}",
            tables.count(self.bops),
            f"{self.energy:.3g}",
            f"{sum(row.bytes or row.memory for row in self.rows):,}",
        )
        return table


def summary(
    model: keras.Model,
    print_fn: Callable[[str], object] | None = None,
    target: str | None = None,
) -> Summary:
    """Prints what a model's kernels cost at inference, and returns it.

    The operation of a kernel follows Chen et al., 2020, Table I: by the
    smaller of the widths of input and kernel, 1 and 2 bits are XNOR, 3 bits
    SHIFT, more MAC; "ADDER" is added where the larger is a float width. An
    input has the width of the layer's `input_quantizer`, else that of the
    quantizer before it, seen through layers that keep quantized values as
    they are (max pooling, flattening, dropout and the like), else 32.

    Args:
        model: A Functional or Sequential model, with inputs of fixed size.
            Nested models are walked too.
        print_fn: Function that is given the table as a string. `None` means
            `print`.
        target: What the model would be converted for, as
            `keras_aqe.converters.convert` takes it. The table then has the
            operators, what runs them here and their bytes, which
            `keras_aqe.check` finds. `None` leaves these out, and needs no
            TensorFlow.

    Returns:
        A `Summary`, with `rows` and totals.

    Raises:
        ValueError: If the model is not built or not Functional, if a layer
            that is not a model hides kernels, or if a size is not known.

    Example:

    ```pycon
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     aqe.layers.QuantConv2D(16, 3, kernel_quantizer="binary"),
    ...     aqe.layers.QuantActivation("binary"),
    ...     keras.layers.Flatten(),
    ...     aqe.layers.QuantDense(10, kernel_quantizer="po2_3"),
    ... ])
    >>> table = summary(model, print_fn=lambda text: None)
    >>> [row.operation for row in table.rows]
    ['XNOR ADDER', 'XNOR']
    >>> table.weights, table.memory
    (6192, 2214)

    ```
    """
    calls: dict[int, Any] = {}
    functional = graph.functional(model, "summary")
    _walk(functional, [32] * len(functional.inputs), calls)
    rows = [row for layer in calls.values() for row in _rows(*layer)]
    if target is not None:
        rows = _with_operators(rows, model, target)
    result = Summary(
        model.name,
        rows,
        _other_parameters(model, [layer for layer, *_ in calls.values()]),
    )
    (print if print_fn is None else print_fn)(str(result))
    return result


def _with_operators(rows, model, target):
    # Looked up as late as this, since it lies above training.
    checked = {row.name: row for row in keras_aqe.check(model, target).rows}
    found = []
    for row in rows:
        name = row.name
        if name not in checked:
            # A separable layer is one convolution there.
            name = name.rpartition("/")[0]
        known = checked.get(name)
        if known is not None:
            row = dataclasses.replace(
                row,
                op=known.op,
                kernel=known.kernel,
                arithmetic=known.arithmetic,
                bytes=known.bytes,
            )
        found.append(row)
    return found


def _walk(functional, input_bits, calls):
    """Follows widths through a graph; returns those of its outputs.

    Fills `calls`: for each layer with kernels (by id) the layer, the width of
    its input and its positions, those of all its calls together.
    """
    bits = {id(x): b for x, b in zip(functional.inputs, input_bits)}
    # Keras has no public way to walk a Functional model.
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if node.is_input:
                continue
            arguments = [bits[id(x)] for x in node.input_tensors]
            outputs = _widths(node, arguments, calls)
            for tensor, width in zip(node.output_tensors, outputs):
                bits[id(tensor)] = width
    return [bits[id(x)] for x in functional.outputs]


def _widths(node, arguments, calls):
    layer = node.operation
    if isinstance(layer, keras.Model):
        return _walk(graph.functional(layer, "summary"), arguments, calls)
    if isinstance(layer, MULTIPLYING):
        _count(node, arguments[0], calls)
        return [32]
    if isinstance(layer, layers.QuantActivation):
        return [layer.quantizer.bits]
    if isinstance(layer, Quantizer):
        return [layer.bits]
    if isinstance(layer, WIDTH_KEEPING) or is_identity(
        layer, node.arguments.args, node.arguments.kwargs
    ):
        return [max(arguments)]
    for hidden in getattr(layer, "_flatten_layers", list)():
        if isinstance(hidden, MULTIPLYING):
            raise ValueError(
                f"Layer {layer.name!r} of type {type(layer).__name__} holds "
                f"layer {hidden.name!r}, of which `summary` cannot see how it "
                "is called. Make it a Functional model of its own."
            )
    return [32] * len(node.output_tensors)


def _count(node, input_bits, calls):
    layer = node.operation
    quantizer = getattr(layer, "input_quantizer", None)
    if quantizer is not None:
        input_bits = quantizer.bits
    _, widest, before = calls.get(id(layer), (layer, 0, 0))
    here = positions(
        layer, node.input_tensors[0].shape, node.output_tensors[0].shape
    )
    calls[id(layer)] = layer, max(widest, input_bits), before + here


def _rows(layer, input_bits, places):
    quantizer = getattr(layer, "kernel_quantizer", None)
    weight_bits = 32 if quantizer is None else quantizer.bits
    if isinstance(layer, SEPARABLE):
        # The pointwise kernel sees the depthwise sums, which are not quantized.
        names = (f"{layer.name}/depthwise", f"{layer.name}/pointwise")
        widths = (input_bits, 32)
    else:
        names, widths = (layer.name,), (input_bits,)
    for name, width, kernel in zip(names, widths, kernels(layer)):
        weights = math.prod(kernel.shape)
        yield Row(
            name=name,
            input_bits=width,
            weight_bits=weight_bits,
            weights=weights,
            macs=places * weights,
            operation=costs.operation(width, weight_bits),
            memory=-(-weights * weight_bits // 8),
        )


def _other_parameters(model, multiplying):
    # A quantizer's alpha is of no use after training.
    excluded = [
        weight
        for layer in model._flatten_layers()
        if isinstance(layer, Quantizer)
        for weight in layer.weights
    ]
    excluded += [kernel for layer in multiplying for kernel in kernels(layer)]
    ids = {id(weight) for weight in excluded}
    return sum(math.prod(w.shape) for w in model.weights if id(w) not in ids)
