"""What runs how: one row for each quantized layer of a converted file."""

import dataclasses
import itertools

import numpy as np
from rich.console import Console
from rich.table import Table

from keras_aqe.converters import flatbuffer
from keras_aqe.converters.errors import ConversionError
from keras_aqe.summary import operation


@dataclasses.dataclass(frozen=True)
class Row:
    """A quantized layer and the operator that carries it.

    Args:
        name: Name of the Keras layer.
        input_bits: Width of its input; 32 is float.
        weight_bits: Width of its kernel; 32 is float.
        operation: XNOR, SHIFT or MAC, "ADDER" added where the wider of the
            two is a float width (Chen et al., 2020, Table I).
        op: Operator in the file.
        weight_bytes: Bytes that its kernel takes in the file.
        macs: Multiply-accumulates of one inference.
    """

    name: str
    input_bits: int
    weight_bits: int
    operation: str
    op: str
    weight_bytes: int
    macs: int


class Report(list):
    """Rows of a converted file; prints as a table."""

    def __str__(self):
        table = Table()
        for heading in ("layer", "input", "weights", "operation", "op"):
            table.add_column(heading)
        table.add_column("weight bytes", justify="right")
        table.add_column("MACs", justify="right")
        for row in self:
            table.add_row(
                row.name,
                f"{row.input_bits} bit",
                f"{row.weight_bits} bit",
                row.operation,
                row.op,
                f"{row.weight_bytes:,}",
                f"{row.macs:,}",
            )
        console = Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(table)
        return capture.get()


def make(data, sums):
    """Reads from a file which operator carries which quantized layer.

    Args:
        data: The file as bytes.
        sums: The `graph.Sum` nodes that were written into it, in order.

    Raises:
        ConversionError: If the file's operators are not those layers.
    """
    rows = Report()
    found = iter(flatbuffer.weighted_operators(data))
    for node, count in sums:
        matching = (op for op in found if op.channels == node.kernel.shape[-1])
        carriers = list(itertools.islice(matching, count))
        if len(carriers) < count:
            raise ConversionError(
                f"Layer {node.name!r} is in the model, but the file holds no "
                "operator for it. This is a fault of the converter; please "
                "report it with the model."
            )
        positions = int(np.prod(node.shape[1:-1], dtype="int64"))
        rows.append(
            Row(
                name=node.name,
                input_bits=node.source.bits,
                weight_bits=node.weight_bits,
                operation=operation(node.source.bits, node.weight_bits),
                op=carriers[0].name,
                weight_bytes=sum(op.weight_bytes for op in carriers),
                macs=positions * int(node.kernel.size),
            )
        )
    return rows
