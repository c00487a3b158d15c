"""What runs how: one row for each layer of a file that has weights."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flatbuffers import flexbuffers
from rich.table import Table

from keras_aqe import costs, tables
from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.file import constants
from keras_aqe.converters.targets import KERNELS, TARGETS
from keras_aqe.costs import operation
from keras_aqe_runtime.errors import DamagedError
from keras_aqe_runtime.file import flatbuffer, metadata
from keras_aqe_runtime.load import load

if TYPE_CHECKING:
    from keras_aqe.converters.convert import Converted

# What operators of the packed format do besides, by their options.
_BESIDES = {
    "addend": "addition",
    "limits": "limits",
    "quantizer_bits": "quantizer",
}
# The note of a layer that runs in float though nothing allows it to.
RUNS_IN_FLOAT = "runs in float"
# And of one that no file can have, of which only `check` has rows.
REFUSED = "refused"


@dataclasses.dataclass(frozen=True)
class Row(costs.LayerCosts):
    """A layer with weights and the operators that carry it.

    Args:
        name: Name of the Keras layer.
        input_bits: Width of its input; 32 is float.
        weight_bits: Width of its kernel; 32 is float.
        operation: XNOR, SHIFT or MAC, "ADDER" added where the wider of the
            two is a float width (Chen et al., 2020, Table I).
        op: Operators in the file, as `"LceBconv2d"` or `"4 LceBconv2d"`, and
            what they do besides, as `"AqeConv2D + addition + quantizer"`;
            `"folded"` if it has none of its own.
        weight_bytes: Bytes that its kernel takes in the file; of a layer
            without a kernel, those of its constants.
        macs: Multiply-accumulates of one inference. Sizes that a model leaves
            open count as 1.
        note: Why it runs in float, if it does; else empty. `"plain layer"` is
            one that Keras computes in floats too. `"refused"`, in
            `keras_aqe.check` only, is one that has no operator.
        bytes: Bytes of all constants of the layer in the file: its kernel and
            what stands for its bias, its batch normalisation and the
            quantizer behind it. What several layers share counts for the
            first.
        kernel: What runs the operators here: kernels of `keras_aqe.runtime`,
            or the engine that has its own; empty where it was not asked.
        arithmetic: What that does, likewise: `"XNOR"` counts bits and
            `"SHIFT"` shifts; `"int8"` and `"float32"` multiply, as kernels of
            codes do where a processor has dot products of bytes.
    """

    name: str
    input_bits: int
    weight_bits: int
    operation: str
    op: str
    weight_bytes: int
    macs: int
    note: str = ""
    bytes: int = 0
    # It is of this machine, and no part of the file.
    kernel: str = dataclasses.field(default="", compare=False)
    arithmetic: str = dataclasses.field(default="", compare=False)

    @property
    def kind(self) -> str:
        """What it counts as: its operation, or `"float"` if it runs so."""
        is_float = self.note and self.note != REFUSED
        return "float" if is_float else self.operation

    @property
    def _kernel_bytes(self) -> float:
        return self.weight_bytes

    @property
    def _is_float(self) -> bool:
        return self.kind == "float"

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON has."""
        return {
            **dataclasses.asdict(self),
            "kind": self.kind,
            "bops": self.bops,
            "energy": self.energy,
        }


class Report(costs.TotalCosts, list[Row]):
    """Rows of a converted file; prints as a table with totals.

    A row for each quantized layer and for each plain layer with weights, one
    for each call of a layer that is shared.

    Attributes:
        version: Version of keras-aqe that wrote the file.
        target: What it was converted for.
        normalizations: Rows of the layers that only scale and shift
            (`BatchNormalization`, `Normalization`). Most are `"folded"` into
            thresholds or kernels, so that no operator is left of them.
        bytes_by_kind: Bytes of the file, `{kind: number}`, which add up to
            its size. The kinds are those of the rows, then
            `"normalization"`, `"other constants"` (of operators without
            weights) and `"structure"` (all that is no constant).
        macs_by_kind: Multiply-accumulates of one inference, `{kind:
            number}`. `"other"` are products of two activations outside of
            any layer with weights.

    Args:
        rows: Rows to begin with.

    Example:

    ```python
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    report = converters.convert(model, target="tflite").report
    floats = [row.name for row in report if row.kind == "float"]
    print(report.bytes, report.macs_by_kind, floats)
    ```
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        super().__init__(rows)
        self.version = self.target = ""
        self.normalizations: list[Row] = []
        self.bytes_by_kind: dict[str, int] = {}
        self.macs_by_kind: dict[str, int] = {}

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return sum(self.bytes_by_kind.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(self.macs_by_kind.values())

    def to_dict(self) -> dict[str, Any]:
        """The rows and the totals as what JSON has."""
        return {
            "version": self.version,
            "target": self.target,
            "layers": [row.to_dict() for row in self],
            "normalizations": [row.to_dict() for row in self.normalizations],
            "bytes": self.bytes,
            "macs": self.macs,
            "bops": self.bops,
            "energy": self.energy,
            "bytes_by_kind": self.bytes_by_kind,
            "macs_by_kind": self.macs_by_kind,
        }

    def _costs(self) -> Iterable[Row]:
        return self

    def __repr__(self) -> str:
        return (
            f"<Report target={self.target!r}, {len(self)} layers, "
            f"{self.bytes:,} bytes, {self.macs:,} MACs>"
        )

    def __str__(self) -> str:
        return tables.render(self._table())

    def _repr_html_(self) -> str:
        return tables.html(self._table())

    def _table(self):
        table = Table(caption=self._folded(), caption_justify="left")
        for heading in ("layer", "input", "weights", "operation", "op"):
            table.add_column(heading)
        for heading in ("weight bytes", "bytes", "MACs"):
            table.add_column(heading, justify="right")
        table.add_column("note")
        kept = [row for row in self.normalizations if row.op != "folded"]
        for row in [*self, *kept]:
            table.add_row(
                row.name,
                f"{row.input_bits} bit",
                f"{row.weight_bits} bit",
                row.operation,
                row.op,
                f"{row.weight_bytes:,}",
                f"{row.bytes:,}",
                f"{row.macs:,}",
                row.note,
            )
        table.add_section()
        for kind, number in self.bytes_by_kind.items():
            macs = self.macs_by_kind.get(kind, 0)
            _add_total(table, kind, number, macs)
        for kind in self.macs_by_kind.keys() - self.bytes_by_kind.keys():
            _add_total(table, kind, 0, self.macs_by_kind[kind])
        table.add_section()
        _add_total(table, "total", self.bytes, self.macs)
        return table

    def _folded(self) -> str | None:
        names = [row.name for row in self.normalizations if row.op == "folded"]
        if not names:
            return None
        return (
            "Folded into thresholds, kernels or biases, whose bytes hold "
            f"them: {', '.join(names)}."
        )


def _add_total(table, kind, number, macs):
    table.add_row(kind, "", "", "", "", "", f"{number:,}", f"{macs:,}", "")


def report(
    file: str | os.PathLike[str] | bytes | Converted,
    kernels: Mapping[int, str] | None = None,
) -> Report:
    """Reads from a finished file which operators carry its layers.

    Args:
        file: A file that `keras_aqe.converters.convert` made: its path, its
            bytes, or what `convert` returned.
        kernels: What runs its operators, by their numbers, for the rows'
            `kernel`. `None` leaves these empty.

    Returns:
        A `Report`.

    Raises:
        ConversionError: If it is no such file, or damaged.

    Example:

    ```python
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converters.convert(model).save("model.tflite")
    print(converters.report("model.tflite"))
    ```
    """
    loaded = load(file)
    description = metadata.required(loaded.description)
    try:
        return _Reader(loaded.model, description, kernels).report(
            len(loaded.data)
        )
    except ConversionError:
        raise
    except (
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise DamagedError(
            f"its description does not fit it ({error})"
        ) from error


class _Reader:
    """Makes rows, in whose order constants are counted once.

    Args:
        model: A parsed file.
        description: What `metadata.read` returned for it.
        kernels: See `report`.
    """

    def __init__(self, model, description, kernels):
        self._kernels = kernels
        self._model = model
        self._description = description
        self._names = flatbuffer.operator_names(model)
        self._weighted = set(flatbuffer.weighted_operators(model, KERNELS))
        # The constants that no row has counted yet.
        self._left = constants.of_file(model)

    def report(self, size):
        """The `Report` of a file of a size in bytes."""
        layers = self._description["layers"]
        # Files written by earlier versions do not say.
        normalizations = self._description.get("normalizations", [])
        report = Report(self._row(entry) for entry in layers)
        report.version = self._description["version"]
        report.target = self._description["target"]
        report.normalizations = [
            self._normalization(entry) for entry in normalizations
        ]
        bytes_, macs = collections.Counter(), collections.Counter()
        for row in (*report, *report.normalizations):
            bytes_[row.kind] += row.bytes
            macs[row.kind] += row.macs
        bytes_["other constants"] = sum(self._left.values())
        bytes_["structure"] = size - bytes_.total()
        macs["other"] = self._description.get("other_macs", 0)
        report.bytes_by_kind = {kind: n for kind, n in bytes_.items() if n}
        report.macs_by_kind = {kind: n for kind, n in macs.items() if n}
        return report

    def _row(self, entry):
        carriers = entry["operators"]
        is_plain = entry.get("plain", False)
        if not is_plain and not self._weighted.issuperset(carriers):
            raise DamagedError(
                f"not all of its operators {carriers}, which should carry "
                f"layer {entry['name']!r}, have a kernel"
            )
        is_float = is_plain or any(
            flatbuffer.is_float(self._model, i)
            and self._names[i] not in KERNELS
            for i in carriers
        )
        return Row(
            name=entry["name"],
            input_bits=entry["input_bits"],
            weight_bits=entry["weight_bits"],
            operation=operation(entry["input_bits"], entry["weight_bits"]),
            op=self._listed(carriers),
            weight_bytes=self._weight_bytes(carriers),
            macs=entry["macs"],
            note=(entry["may_be_float"] or RUNS_IN_FLOAT) * is_float,
            bytes=self._counted([*carriers, *entry.get("beside", [])]),
            **self._running(carriers),
        )

    def _running(self, operators):
        """What runs operators here, and what that does."""
        target = TARGETS.get(self._description["target"])
        if self._kernels is None or target is None:
            return {}
        kernels = [self._kernels.get(i, target.runs_in) for i in operators]
        arithmetic = [
            target.arithmetic(self._names[i], kernel)
            or ("float32" if flatbuffer.is_float(self._model, i) else "int8")
            for i, kernel in zip(operators, kernels)
        ]
        return {
            "kernel": ", ".join(dict.fromkeys(kernels)),
            "arithmetic": ", ".join(dict.fromkeys(arithmetic)),
        }

    def _normalization(self, entry):
        carriers = entry["operators"]
        return Row(
            name=entry["name"],
            input_bits=32,
            weight_bits=32,
            operation="normalization",
            op=self._listed(carriers),
            weight_bytes=self._weight_bytes(carriers),
            macs=0,
            bytes=self._counted(carriers),
        )

    def _weight_bytes(self, operators):
        weighted = [i for i in operators if i in self._weighted]
        if weighted:
            return flatbuffer.weight_bytes(self._model, weighted)
        return sum(constants.of_operators(self._model, operators).values())

    def _counted(self, operators):
        buffers = constants.of_operators(self._model, operators)
        return sum(self._left.pop(buffer, 0) for buffer in buffers)

    def _listed(self, operators):
        counts = collections.Counter(map(self._name, operators))
        return (
            ", ".join(
                name if count == 1 else f"{count} {name}"
                for name, count in counts.items()
            )
            or "folded"
        )

    def _name(self, index):
        """The name of an operator, and what it does besides."""
        operator = self._model.subgraphs[0].operators[index]
        name = self._names[index]
        if name not in KERNELS or operator.customOptions is None:
            return name
        besides = _besides(bytes(bytearray(operator.customOptions)))
        return " + ".join([name, *besides])


# Deep networks repeat theirs.
@functools.lru_cache(maxsize=256)
def _besides(options):
    found = flexbuffers.Loads(options)
    return [text for key, text in _BESIDES.items() if key in found]
