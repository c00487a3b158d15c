"""The types of what a file's description holds."""

import dataclasses
import math

# Lists and dictionaries in each other, as deep as models group their inputs.
_DEPTH = 32


@dataclasses.dataclass(frozen=True)
class Number:
    """A number from `least` to `most`; a whole one unless `real`."""

    least: float = 0
    most: float = 2**62
    real: bool = False

    def check(self, value, place):
        kinds = (int, float) if self.real else int
        if (
            not isinstance(value, kinds)
            or isinstance(value, bool)
            or not self.least <= value <= self.most
        ):
            kind = "a number" if self.real else "a whole number"
            raise ValueError(
                f"{place} is not {kind} from {self.least} to {self.most}"
            )


class Text:
    """A string."""

    def check(self, value, place):
        # JSON may write half of a surrogate pair, which is no character.
        if not isinstance(value, str) or any(
            "\ud800" <= character <= "\udfff" for character in value
        ):
            raise ValueError(f"{place} is no text")


class Truth:
    """True or false."""

    def check(self, value, place):
        if not isinstance(value, bool):
            raise ValueError(f"{place} is neither true nor false")


@dataclasses.dataclass(frozen=True)
class Maybe:
    """What `kind` says, or null."""

    kind: object

    def check(self, value, place):
        if value is not None:
            self.kind.check(value, place)


@dataclasses.dataclass(frozen=True)
class List:
    """A list of what `kind` says."""

    kind: object

    def check(self, value, place):
        if not isinstance(value, list):
            raise ValueError(f"{place} is no list")
        for index, item in enumerate(value):
            self.kind.check(item, f"{place}[{index}]")


class Map:
    """A dictionary with a kind for each of its keys.

    Others are allowed, so that later versions may say more.

    Args:
        fields: The kinds of keys that have to be there.
        more: The kinds of keys that may be there.
    """

    def __init__(self, fields, more=()):
        self._fields = fields
        self._more = dict(more)

    def check(self, value, place):
        if not isinstance(value, dict):
            raise ValueError(f"{place} is no dictionary")
        for key, kind in self._fields.items():
            if key not in value:
                raise ValueError(f"{place} has no {key!r}")
            kind.check(value[key], f"{place}[{key!r}]")
        for key, kind in self._more.items():
            if key in value:
                kind.check(value[key], f"{place}[{key!r}]")


class Structure:
    """Numbers from 0 on, each once, in lists and dictionaries."""

    def check(self, value, place):
        numbers = list(_leaves(value, place, _DEPTH))
        if sorted(numbers) != list(range(len(numbers))):
            raise ValueError(f"{place} does not count from 0 on")


def _leaves(value, place, depth):
    if isinstance(value, (list, dict)) and depth:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part, place, depth - 1)
    else:
        Number().check(value, place)
        yield value


_LAYER = Map(
    {
        "name": Text(),
        "input_bits": Number(1, 64),
        "weight_bits": Number(1, 64),
        "macs": Number(),
        "operators": List(Number()),
        "may_be_float": Maybe(Text()),
    },
    {"beside": List(Number()), "plain": Truth()},
)
_NORMALIZATION = Map({"name": Text(), "operators": List(Number())})
_STORED = Map(
    {
        "tensors": List(Number()),
        "factors": List(Number(-(2**62), real=True)),
        "offset": Number(-(2**62), real=True),
    },
    {"channels": Number(1)},
)
_CODES = Map(
    {
        "name": Text(),
        "bits": Number(1, 64),
        "unit": Number(math.ulp(0.0), real=True),
    },
    # Not all are held by a file, and the first versions said it otherwise.
    {"stored": _STORED},
)
_TENSORS = List(Map({"name": Text(), "tensor": Number()}))
# Files of the first versions name no inputs and outputs, and quantized layers
# only.
_DESCRIPTION = Map(
    {
        "version": Text(),
        "target": Text(),
        "layers": List(_LAYER),
        "codes": List(_CODES),
    },
    {
        "normalizations": List(_NORMALIZATION),
        "other_macs": Number(),
        "inputs": _TENSORS,
        "input_structure": Structure(),
        "outputs": _TENSORS,
        "output_structure": Structure(),
    },
)
# The metadata entry that holds it.
_ENTRY = Map({"digest": Text(), "description": _DESCRIPTION})


def check(entry):
    """Checks a file's metadata entry.

    Args:
        entry: What JSON made of it.

    Raises:
        ValueError: If a field is missing or of another type.
    """
    _ENTRY.check(entry, "entry")
    description = entry["description"]
    for kind in ("input", "output"):
        count = len(description.get(f"{kind}s", []))
        structure = description.get(f"{kind}_structure", [])
        if len(list(_leaves(structure, kind, _DEPTH))) != count:
            raise ValueError(f"its {kind}s and their structure do not fit")
