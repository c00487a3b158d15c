"""Quantizers: hard functions of few values, trained by an estimator."""

import functools
import numbers
import re
from collections.abc import Callable
from typing import Any

import keras

from keras_aqe.quantizers.binary import Binary
from keras_aqe.quantizers.fixed_point import FixedPoint
from keras_aqe.quantizers.float16 import Float16
from keras_aqe.quantizers.foreign import counterpart
from keras_aqe.quantizers.power_of_two import PowerOfTwo
from keras_aqe.quantizers.quantizer import Quantizer
from keras_aqe.quantizers.ternary import Ternary

__all__ = [
    "Binary",
    "FixedPoint",
    "Float16",
    "PowerOfTwo",
    "Quantizer",
    "Ternary",
    "get",
    "of_width",
    "serialize",
]

# What the layers take for a quantizer.
Identifier = Quantizer | str | dict[str, Any] | None

_NAMES: dict[str, type[Quantizer]] = {
    "binary": Binary,
    "ternary": Ternary,
    "float16": Float16,
}
_NUMBERED: dict[str, Callable[..., Quantizer]] = {
    "po2": PowerOfTwo,
    "fixed": FixedPoint,
    "unsigned": functools.partial(FixedPoint, signed=False),
}


def get(identifier: Identifier, **kwargs: Any) -> Quantizer | None:
    """Returns a quantizer for an object, a name or a config.

    Args:
        identifier: A `Quantizer` (returned as it is), `None` (returned as it
            is), a name ("binary", "ternary", "po2_3", "fixed_8",
            "unsigned_2", "float16"; the number is the width) or a config made
            by `keras.saving.serialize_keras_object`.
        **kwargs: Arguments of the quantizer, only with a name.

    Returns:
        A `Quantizer`, or `None`.

    Raises:
        ValueError: If `identifier` is none of these. Where it is a quantizer
            of Larq or QKeras, the message says what is its like here.

    Example:

    ```pycon
    >>> get("po2_3", estimator="ste").bits
    3

    ```
    """
    if isinstance(identifier, str):
        name, _, bits = identifier.partition("_")
        if identifier in _NAMES:
            return _NAMES[identifier](**kwargs)
        if name in _NUMBERED and re.fullmatch("[0-9]+", bits):
            return _NUMBERED[name](bits=int(bits), **kwargs)
    elif isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if identifier is None or isinstance(identifier, Quantizer):
        return identifier
    if isinstance(identifier, numbers.Integral):
        like = f"A width is `keras_aqe.quantizers.of_width({identifier})`."
    elif isinstance(identifier, type) and issubclass(identifier, Quantizer):
        like = f"That is a class: make one, `{identifier.__name__}()`."
    else:
        like = counterpart(identifier)
    raise ValueError(
        "A quantizer must be a `keras_aqe.quantizers.Quantizer`, its config, "
        "or one of the names 'binary', 'ternary', 'po2_<bits>', "
        "'fixed_<bits>', 'unsigned_<bits>', 'float16'. "
        f"Received: {identifier!r}" + (f". {like}" if like else "")
    )


def serialize(quantizer: Quantizer | None) -> dict[str, Any] | None:
    """Returns the config of a quantizer, from which `get` makes it again.

    Several layers that share a quantizer share it in the loaded model too.

    Args:
        quantizer: A `Quantizer`, or `None`, which is returned as it is.

    Example:

    ```pycon
    >>> get(serialize(get("po2_3"))).bits
    3

    ```
    """
    # While a model is saved, Keras marks what it meets again as shared, but
    # the mark does not reach what it has already written of other layers.
    keras.saving.serialize_keras_object(quantizer)
    return keras.saving.serialize_keras_object(quantizer)


def of_width(bits: int, signed: bool = True, **kwargs: Any) -> Quantizer | None:
    """Returns the paper's quantizer of that width; `None` for 32 bits.

    1 is `Binary`, 2 `Ternary`, 3 and 4 `PowerOfTwo`, 8 `FixedPoint` and 16
    `Float16` (Chen et al., 2020, Sec. IV).

    Args:
        bits: 1, 2, 3, 4, 8, 16 or 32.
        signed: Whether there are levels below 0. `False` is for what comes
            out of a ReLU: up to 8 bits are `FixedPoint(bits, signed=False)`
            then; half precision and float are as they are.
        **kwargs: Arguments of the quantizer.

    Raises:
        ValueError: If `bits` is another number.

    Example:

    ```pycon
    >>> of_width(3).levels
    array([-1.  , -0.5 , -0.25,  0.  ,  0.25,  0.5 ,  1.  ], dtype=float32)

    ```
    """
    names: dict[int, str | None] = {1: "binary", 2: "ternary", 3: "po2_3"}
    names |= {4: "po2_4", 8: "fixed_8", 16: "float16", 32: None}
    if not signed:
        names |= {width: f"unsigned_{width}" for width in names if width <= 8}
    if not isinstance(bits, numbers.Integral) or bits not in names:
        raise ValueError(
            f"A width must be one of {list(names)} bits. Received: {bits!r}"
        )
    return get(names[bits], **kwargs)
