"""What `quantize_model` made of each layer."""

import dataclasses
from typing import Any

from rich.table import Table

from keras_aqe import tables
from keras_aqe.quantizers import Quantizer


@dataclasses.dataclass(frozen=True)
class QuantizedLayer:
    """What became of one layer that has weights.

    Args:
        path: Names of the models that it is nested in and its own.
        before: Name of the class that it was.
        after: Name of the class that it became.
        input_bits: Width of its input; 32 is not quantized.
        input_quantizer: Levels and scale of its input, or "".
        weight_bits: Width of its kernel; 32 is not quantized.
        kernel_quantizer: Levels and scale of its kernel, or "".
        note: Why it is not what the model's other layers are; else "".
    """

    path: str
    before: str
    after: str
    input_bits: int
    input_quantizer: str
    weight_bits: int
    kernel_quantizer: str
    note: str


@dataclasses.dataclass(frozen=True, repr=False)
class QuantizationReport:
    """What became of a model's layers; prints as a table.

    Args:
        name: Name of the model.
        rows: A `QuantizedLayer` for each layer that has weights, those of
            nested models too, in the order of the graph.
    """

    name: str
    rows: list[QuantizedLayer]

    @property
    def quantized(self) -> list[QuantizedLayer]:
        """The rows of layers that became quantized ones."""
        return [row for row in self.rows if row.before != row.after]

    def __repr__(self) -> str:
        return (
            f"<QuantizationReport of {self.name!r}, {len(self.quantized)} of "
            f"{len(self.rows)} layers quantized>"
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, `{"name": ..., "rows": [...]}`."""
        return dataclasses.asdict(self)

    def _table(self):
        table = Table(title=f"Model: {self.name}", title_justify="left")
        for heading in ("layer", "was", "is", "input", "kernel", "note"):
            table.add_column(heading)
        for row in self.rows:
            changed = row.before != row.after
            table.add_row(
                row.path,
                row.before,
                row.after if changed else "as it was",
                row.input_quantizer,
                row.kernel_quantizer,
                row.note,
            )
        return table

    def _total(self):
        return (
            f"{len(self.quantized)} of {len(self.rows)} layers with weights "
            "are quantized."
        )

    def __str__(self) -> str:
        return tables.render(self._table()) + self._total()

    def _repr_html_(self) -> str:
        return f"{tables.html(self._table())}<p>{self._total()}</p>"


def describe(quantizer: Quantizer | None) -> str:
    """A quantizer in a few words, such as "2 bit unsigned x 4"."""
    if quantizer is None:
        return ""
    unsigned = " unsigned" if quantizer.levels[0] >= 0 else ""
    scale = "" if quantizer.scale == 1 else f" x {quantizer.scale:g}"
    return f"{quantizer.bits} bit{unsigned}{scale}"
