"""Which layers become quantized ones, and at which widths."""

import dataclasses
import fnmatch
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_aqe import layers, quantizers

# A layer's name or path, a pattern of either, or a class of layers.
Key = str | type
# A width, widths of input and kernel, quantizers by argument, or float.
Override = int | tuple[int, int] | Mapping[str, Any] | None

FORMS: dict[type, type] = {
    keras.layers.Conv1D: layers.QuantConv1D,
    keras.layers.Conv2D: layers.QuantConv2D,
    keras.layers.Conv2DTranspose: layers.QuantConv2DTranspose,
    keras.layers.Conv3D: layers.QuantConv3D,
    keras.layers.Dense: layers.QuantDense,
    keras.layers.DepthwiseConv2D: layers.QuantDepthwiseConv2D,
    keras.layers.SeparableConv2D: layers.QuantSeparableConv2D,
}
_ARGUMENTS = {"input_quantizer", "kernel_quantizer", "pad_value"}


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a layer becomes.

    Args:
        input: A width, or what `quantizers.get` takes.
        kernel: The same, for the kernel.
        note: Why it is not what the model's other layers are; else "".
        more: Further arguments of the quantized layer.
        quantizes_image: Whether `input` holds for an image too.
    """

    input: Any
    kernel: Any
    note: str = ""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    quantizes_image: bool = False

    @property
    def is_float(self) -> bool:
        """Whether neither input nor kernel is quantized."""
        return all(given in (32, None) for given in (self.input, self.kernel))


def reason_to_keep(layer: Any) -> str:
    """Why a layer has no quantized form; "" if it has one."""
    if type(layer) in FORMS:
        if getattr(layer, "quantization_mode", None):
            return f"quantized by Keras to {layer.quantization_mode}"
        if getattr(layer, "lora_enabled", False):
            return "has LoRA weights"
        return ""
    bases = [form.__name__ for form in FORMS if isinstance(layer, form)]
    if isinstance(layer, tuple(FORMS.values())):
        return "quantized already"
    if bases:
        return f"a subclass of {bases[0]}, which may compute something else"
    return "no quantized form"


def is_depthwise(layer: Any) -> bool:
    """Whether each output of a built layer reads one channel of its input.

    Args:
        layer: A layer of a class in `FORMS`.
    """
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return True
    # Keras leaves the channels of all groups but one out of the kernel.
    return getattr(layer, "groups", 1) > 1 and layer.kernel.shape[-2] == 1


class Overrides:
    """The arguments `skip` and `overrides` of `quantize_model`.

    A name or path goes before a pattern (or a nested model's path, which
    stands for all of its layers) and that before a class; of several patterns
    or classes the last one counts.

    Args:
        skip: Keys of the layers that stay float, or one key.
        overrides: `{key: override}`.
    """

    def __init__(
        self,
        skip: Key | Iterable[Key],
        overrides: Mapping[Key, Override] | None,
    ) -> None:
        if isinstance(skip, (str, type)):
            skip = (skip,)
        self._choices: dict[Key, Choice] = {}
        for key, override in dict(overrides or {}).items():
            _check_key(key, "overrides")
            self._choices[key] = _choice(key, override)
        for key in skip:
            _check_key(key, "skip")
            self._choices[key] = Choice(32, 32, "skip")
        self._matched: set[Key] = set()

    def find(self, path: str, layer: Any) -> Choice | None:
        """The choice for a layer; `None` if no key matches it."""
        best: tuple[int, Choice | None] = 0, None
        for key, choice in self._choices.items():
            rank = _rank(key, path, layer)
            if rank:
                self._matched.add(key)
                if rank >= best[0]:
                    best = rank, choice
        return best[1]

    def check_matched(self, names: list[str]) -> None:
        """Refuses keys that no layer matched.

        Raises:
            ValueError: If there is one.
        """
        for key in self._choices:
            if key not in self._matched:
                name = key if isinstance(key, str) else key.__name__
                raise ValueError(
                    f"`skip` and `overrides` have the key {name!r}, which is "
                    "no name, pattern or class of a layer of the model that "
                    f"has a quantized form. Those are: {', '.join(names)}"
                )


def _check_key(key, argument):
    if not isinstance(key, (str, type)):
        raise ValueError(
            f"A key of `{argument}` must be a layer's name, a pattern such as "
            f"'block*_conv', or a class of layers. Received: {key!r}"
        )


def _rank(key, path, layer):
    """How well a key matches: 3 by name, 2 by pattern, 1 by class."""
    if isinstance(key, type):
        return 1 if isinstance(layer, key) else 0
    names = path, layer.name
    if key in names:
        return 3
    is_inside = path.startswith(f"{key}/")
    fits = any(fnmatch.fnmatchcase(name, key) for name in names)
    return 2 if is_inside or fits else 0


def _choice(key, override):
    choice = _given(key, override)
    for given in (choice.input, choice.kernel):
        is_width = isinstance(given, numbers.Integral)
        try:
            (quantizers.of_width if is_width else quantizers.get)(given)
        except ValueError as error:
            raise ValueError(f"`overrides[{key!r}]`: {error}") from None
    return choice


def _given(key, override):
    if override is None:
        return Choice(32, 32, "override")
    if isinstance(override, Mapping):
        unknown = set(override) - _ARGUMENTS
        if unknown:
            raise ValueError(
                f"`overrides[{key!r}]` may give {sorted(_ARGUMENTS)}. "
                f"Received: {sorted(unknown)}"
            )
        more = {k: v for k, v in override.items() if k == "pad_value"}
        return Choice(
            override.get("input_quantizer"),
            override.get("kernel_quantizer"),
            "override",
            more,
            quantizes_image=True,
        )
    if isinstance(override, numbers.Integral):
        return Choice(override, override, "override")
    if not isinstance(override, (list, tuple)) or len(override) != 2:
        raise ValueError(
            f"`overrides[{key!r}]` must be a width, a pair of widths (input, "
            "kernel), a dictionary of quantizers or None, which keeps the "
            f"layer float. Received: {override!r}"
        )
    return Choice(*override, "override")
