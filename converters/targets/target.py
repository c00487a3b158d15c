"""What `convert` and the reader of a file need to know of a target."""

import dataclasses
from collections.abc import Callable

from keras_aqe_runtime.engines import LiteRT


@dataclasses.dataclass(frozen=True)
class Options:
    """What `convert` was asked for beside the target.

    Args:
        compact: Whether kernels take fewer bits than 8 where they fit.
    """

    compact: bool = False


@dataclasses.dataclass(frozen=True)
class Target:
    """A way to write inference graphs. Each folder here defines one.

    Args:
        name: What `convert` calls it.
        emit: Function from a `nodes.Graph` and `Options` to a parsed file,
            and for nodes whose codes it holds a `codes.Stored`.
        float_rule: Function from a `nodes.Sum` and its `nodes.Graph` to the
            reason why the target may run it in float, or `None`.
        refusals: Function from a `nodes.Graph` that yields the
            `FloatLayerError` of each layer that the target cannot run as its
            operation.
        prefix: What the names of its custom operators begin with; empty if
            it has none.
        kernels: The custom operators that multiply with a kernel, in codes
            even where their input is of floats.
        check: Function that raises `ConversionError` if a custom operator of
            a parsed file is not as it should be. Those of the packed format
            are the runtime's to check.
        engine: Function from a `load.File`, a number of threads and whether to
            time each operator to what runs it: a `LiteRT`, or what has its
            methods.
        runs_in: Name of the engine.
        arithmetic: Function from the names of an operator that has a kernel
            and of what runs it to what that does with bits, `"XNOR"` or
            `"SHIFT"`; `None` if it multiplies numbers.
        decode: Function from a tensor of codes, as the engine returns it, and
            the number of codes that end at a word to an array of numbers;
            only needed where they are packed into words.
        takes_compact: Whether `Options.compact` means anything to it.
    """

    name: str
    emit: Callable
    float_rule: Callable
    refusals: Callable = lambda graph: ()
    prefix: str = ""
    kernels: tuple[str, ...] = ()
    check: Callable = lambda model: None
    engine: Callable = LiteRT
    runs_in: str = "LiteRT"
    arithmetic: Callable = lambda operator, kernel: None
    decode: Callable = lambda tensor, channels: tensor
    takes_compact: bool = False


def is_float_width(node):
    """Whether a layer has floats on one side of its products.

    Args:
        node: A `nodes.Sum`.
    """
    return max(node.source.bits, node.weight_bits) >= 16
