"""What runs how: one row for each quantized layer of a file."""

import collections
import dataclasses

from rich.table import Table

from keras_aqe import tables
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.file import flatbuffer, metadata
from keras_aqe.converters.load import load
from keras_aqe.summary import operation

# The note of a layer that runs in float though nothing allows it to.
RUNS_IN_FLOAT = "runs in float"


@dataclasses.dataclass(frozen=True)
class Row:
    """A quantized layer and the operators that carry it.

    Args:
        name: Name of the Keras layer.
        input_bits: Width of its input; 32 is float.
        weight_bits: Width of its kernel; 32 is float.
        operation: XNOR, SHIFT or MAC, "ADDER" added where the wider of the
            two is a float width (Chen et al., 2020, Table I).
        op: Operators in the file, as `"LceBconv2d"` or `"4 LceBconv2d"`.
        weight_bytes: Bytes that its kernel takes in the file.
        macs: Multiply-accumulates of one inference.
        note: Why it runs in float, if it does; else empty.
    """

    name: str
    input_bits: int
    weight_bits: int
    operation: str
    op: str
    weight_bytes: int
    macs: int
    note: str = ""


class Report(list):
    """Rows of a converted file; prints as a table.

    Attributes:
        version: Version of keras-aqe that wrote the file.
        target: What it was converted for.
    """

    version = target = ""

    def __str__(self):
        table = Table()
        for heading in ("layer", "input", "weights", "operation", "op"):
            table.add_column(heading)
        table.add_column("weight bytes", justify="right")
        table.add_column("MACs", justify="right")
        table.add_column("note")
        for row in self:
            table.add_row(
                row.name,
                f"{row.input_bits} bit",
                f"{row.weight_bits} bit",
                row.operation,
                row.op,
                f"{row.weight_bytes:,}",
                f"{row.macs:,}",
                row.note,
            )
        return tables.render(table, 120)


def report(file):
    """Reads from a finished file which operators carry its quantized layers.

    Args:
        file: A file that `keras_aqe.converters.convert` made: its path, its
            bytes, or what `convert` returned.

    Returns:
        A `Report`.

    Raises:
        ConversionError: If it is no such file, or damaged.

    Example:

    ```python
    print(keras_aqe.converters.report("model.tflite"))
    ```
    """
    model = load(file).model
    description = metadata.read(model)
    names = flatbuffer.operator_names(model)
    weighted = set(flatbuffer.weighted_operators(model))
    rows = Report()
    rows.version = description["version"]
    rows.target = description["target"]
    for entry in description["layers"]:
        carriers = entry["operators"]
        if not weighted.issuperset(carriers):
            raise ConversionError(
                f"The file is damaged: not all of its operators {carriers}, "
                f"which should carry layer {entry['name']!r}, have a kernel. "
                "Convert the model again, or copy the file again."
            )
        # The runtime's own operators add floats, but multiply with N bits.
        is_float = any(
            flatbuffer.is_float(model, i) and not names[i].startswith("Aqe")
            for i in carriers
        )
        rows.append(
            Row(
                name=entry["name"],
                input_bits=entry["input_bits"],
                weight_bits=entry["weight_bits"],
                operation=operation(entry["input_bits"], entry["weight_bits"]),
                op=_listed([names[i] for i in carriers]),
                weight_bytes=sum(
                    flatbuffer.weight_bytes(model, i) for i in carriers
                ),
                macs=entry["macs"],
                note=(entry["may_be_float"] or RUNS_IN_FLOAT) * is_float,
            )
        )
    return rows


def _listed(names):
    counts = collections.Counter(names)
    return ", ".join(
        name if count == 1 else f"{count} {name}"
        for name, count in counts.items()
    )
