"""What a conversion would say and make, before a model is trained."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from rich.table import Table

from keras_aqe import costs, progress, tables
from keras_aqe.converters import pipeline
from keras_aqe.converters.child import under_tensorflow
from keras_aqe.converters.errors import ConversionError, FloatLayerError
from keras_aqe.converters.report import REFUSED, Report, Row
from keras_aqe.converters.report import report as report_of
from keras_aqe.summary import summary


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why a model would not convert.

    Args:
        layer: Name of the layer, or of the input; `None` if it is the model
            as a whole.
        message: What `keras_aqe.converters.convert` says of it.

    Example:

    ```python
    import keras
    import keras_aqe as aqe

    layer = aqe.layers.QuantConv3D(2, 2, kernel_quantizer="binary", name="v")
    model = keras.Sequential([keras.Input((4, 4, 4, 1)), layer])
    assert [fault.layer for fault in aqe.check(model).faults] == ["v"]
    ```
    """

    layer: str | None
    message: str


@dataclasses.dataclass(frozen=True, repr=False)
class Check(costs.TotalCosts):
    """What `keras_aqe.check` found; prints as a table and a list of faults.

    Args:
        target: What the model would be converted for.
        rows: A row for each layer that has weights, as a `Report` has them,
            with `op`, `kernel`, `arithmetic`, `bytes`, `macs`, `bops` and
            `energy`. That of a layer with a fault has no `op` where it has
            none in a file.
        faults: A `Fault` for each reason to refuse a layer. The first is
            what `convert` raises.
        report: The `Report` of the file that `convert` would return, of the
            layers without faults if there are faults; `None` if no file could
            be made at all.

    Example:

    ```python
    import keras_aqe as aqe

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    checked = aqe.check(model)
    print(checked.ok, checked.bytes, checked.bops, checked.energy)
    ```
    """

    target: str
    rows: list[Row]
    faults: list[Fault]
    report: Report | None

    @property
    def ok(self) -> bool:
        """Whether the model converts."""
        return not self.faults

    @property
    def bytes(self) -> int:
        """Bytes of the rows; of a model that converts, of its file."""
        if self.ok and self.report is not None:
            return self.report.bytes
        return sum(row.bytes for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON has."""
        return {
            "target": self.target,
            "ok": self.ok,
            "faults": [dataclasses.asdict(fault) for fault in self.faults],
            "layers": [row.to_dict() for row in self.rows],
            "bytes": self.bytes,
            "macs": self.macs,
            "bops": self.bops,
            "energy": self.energy,
        }

    def _costs(self) -> list[Row]:
        return self.rows

    def __repr__(self) -> str:
        return (
            f"<Check target={self.target!r}, {len(self.rows)} layers, "
            f"{len(self.faults)} faults>"
        )

    def __str__(self) -> str:
        text = tables.render(self._table())
        for fault in self.faults:
            text += f"\n- {fault.message}"
        return f"{text}\n{self._verdict()}"

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li>{tables.text_html(fault.message)}</li>"
            for fault in self.faults
        )
        return (
            f"{tables.html(self._table())}<ul>{items}</ul>"
            f"<p>{tables.text_html(self._verdict())}</p>"
        )

    def _verdict(self):
        if self.ok:
            return f"The model converts for target={self.target!r}."
        return (
            f"The model does not convert for target={self.target!r}: "
            f"{len(self.faults)} "
            f"{'fault' if len(self.faults) == 1 else 'faults'}."
        )

    def _table(self):
        table = Table()
        for heading in ("layer", "input", "weights", "operation", "op"):
            table.add_column(heading)
        table.add_column("runs by")
        for heading in ("bytes", "MACs", "BOPs", "µJ"):
            table.add_column(heading, justify="right")
        table.add_column("note")
        for row in self.rows:
            table.add_row(
                row.name,
                f"{row.input_bits} bit",
                f"{row.weight_bits} bit",
                row.operation,
                row.op,
                tables.running(row),
                f"{row.bytes:,}",
                f"{row.macs:,}",
                tables.count(row.bops),
                f"{row.energy:.3g}",
                row.note,
            )
        table.add_section()
        table.add_row(
            "total",
            *[""] * 5,
            f"{self.bytes:,}",
            f"{self.macs:,}",
            tables.count(self.bops),
            f"{self.energy:.3g}",
            "",
        )
        return table


@under_tensorflow
def check(
    model: keras.Model,
    target: str = "packed",
    strict: bool = True,
    compact: bool = False,
    allow_soft: bool = False,
    image: keras.layers.Layer | list[keras.layers.Layer] | None = None,
    verbose: int = 0,
) -> Check:
    """Tells what would not convert and why, and what the rest would cost.

    It does what `keras_aqe.converters.convert` does, so its faults are the
    errors of `convert`, all of them and not only the first: a layer with a
    fault is left out, and the model goes on behind it. The model need not be
    trained; weights change no column, save where they are not finite.

    For each layer with weights: its operators in the file, what runs them on
    this machine (kernels of `keras_aqe.runtime`, or the engine) and whether
    that counts bits, shifts or multiplies, the bytes of
    its constants, multiply-accumulates, bit operations
    (`MACs * input bits * weight bits`) and an estimate of its energy from
    Horowitz, 2014: `energy = 1e-6 * (MACs * (product + sum) + 162.5 *
    weight_bytes)` in microjoules, where for integers of M and N bits
    `product = 0.2 / 64 * M * N` and `sum = 0.1 / 32 * (M + N)` picojoules,
    and for floats of 16 or 32 bits 1.1 or 3.7 and 0.4 or 0.9, without the
    product where the other side has 1 to 3 bits.

    It takes a second or less, and longer for networks of more than a hundred
    layers or of tens of millions of weights.

    Args:
        model: A built Functional or Sequential `keras.Model`.
        target, strict, compact, allow_soft, image: What `convert` would be
            asked for, as there.
        verbose: 0 for silence, 1 for a progress bar.

    Returns:
        A `Check`: `ok`, `faults`, `rows` and totals. Prints as a table.

    Raises:
        ValueError: If `target` is unknown, or has no use for `compact`, or
            `image` is something else.

    Example:

    ```python
    import keras_aqe as aqe

    model = aqe.models.MINWNet("D", input_bits=2, weight_bits=2)
    checked = aqe.check(model, target="packed")
    print(checked)
    assert checked.ok and checked.rows[0].op == "AqeConv2D"
    ```
    """
    request = pipeline.Request(target, strict, compact, allow_soft, image)
    faults: dict[str, Fault] = {}
    without: set[str] = set()

    def refuse(error):
        for each in (error, *error.more):
            faults.setdefault(str(each), Fault(each.layer, str(each)))
            if not isinstance(each, FloatLayerError) and each.layer is not None:
                without.add(each.layer)

    report = None
    with progress.bar("checking", verbose) as step:
        converted = pipeline.with_image(model, request, refuse)
        while report is None:
            tried = frozenset(without)
            try:
                file, rows, interpreter = pipeline.run(
                    converted, request, step, refuse, tried
                )
                report = _with_kernels(file, rows, interpreter)
            except ConversionError as error:
                refuse(error)
                if without == tried:
                    break  # nothing more that could be left out
    rows = list(report or [])
    if faults:
        rows = _with_refused(rows, model)
    return Check(target, rows, list(faults.values()), report)


def _with_kernels(file, rows, interpreter):
    """The report of a file with what runs it here."""
    if interpreter is None:
        return rows
    profile = interpreter.profile()
    return report_of(file, {p["operator"]: p["kernel"] for p in profile})


def _with_refused(rows, model):
    """The rows of a report and those of layers that it leaves out."""
    names = {row.name for row in rows}
    rows += [row for row in _summarized(model) if row.name not in names]
    order = {name: place for place, name in enumerate(_names(model))}
    return sorted(rows, key=lambda row: order.get(row.name, len(order)))


def _names(model):
    """Names of the layers of a model in its order, nested ones too."""
    for layer in getattr(model, "layers", ()):
        yield layer.name
        yield from _names(layer)


def _summarized(model):
    """Rows of the layers with kernels, as far as widths and sizes are known."""
    try:
        found = summary(model, print_fn=lambda text: None).rows
    except ValueError:
        return []
    layers = set(_names(model))
    rows = {}
    for row in found:
        # Both kernels of a separable layer come to one.
        name = row.name if row.name in layers else row.name.rpartition("/")[0]
        before = rows.get(name)
        rows[name] = Row(
            name=name,
            input_bits=row.input_bits if before is None else before.input_bits,
            weight_bits=row.weight_bits,
            operation=row.operation if before is None else before.operation,
            op="",
            weight_bytes=row.memory + (before.weight_bytes if before else 0),
            macs=row.macs + (before.macs if before else 0),
            note=REFUSED,
            bytes=row.memory + (before.bytes if before else 0),
        )
    return list(rows.values())
