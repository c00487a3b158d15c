"""What the networks share: their arguments, with documentation and checks."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol

import keras

from keras_aqe.models.parts import Parts

_DESCRIPTIONS = {
    "input_bits": """\
    input_bits: Width M of the layers' inputs: 1, 2, 3, 4, 8, 16 or 32
        (no quantizer). The image itself is not quantized.
""",
    "weight_bits": """\
    weight_bits: Width N of the kernels: 1, 2, 3, 4, 16 or 32
        (no quantizer).
""",
    "input_shape": """\
    input_shape: `(height, width, channels)`; height and width of at least
        {smallest}.
""",
    "classes": """\
    classes: Number of logits.
""",
    "quantize_first": """\
    quantize_first: Whether the first layer's kernel is quantized.
""",
    "quantize_last": """\
    quantize_last: Whether the last layer's input and kernel are quantized.
        Batch normalisation then scales the logits; else a bias is added.
""",
    "estimator": """\
    estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
""",
    "stochastic": """\
    stochastic: Whether the quantizers train in their stochastic form.
""",
    "pad_value": """\
    pad_value: What the 'same' padding of convolutions fills in. 0 is
        Keras's; +1 keeps 1-bit inputs at one bit, which Larq Compute
        Engine runs faster.
""",
    "name": """\
    name: Name of the model.
""",
}
_RESULT = """\
Returns:
    A `keras.Model` from images to logits, not compiled.

Raises:
    ValueError: If an argument is not one of the above.
"""


class Network(Protocol):
    """A function that builds a network, of what all of them take.

    Own arguments of a network stand before or behind these.
    """

    __name__: str

    def __call__(
        self,
        *args: Any,
        input_bits: int = 1,
        weight_bits: int = 1,
        input_shape: tuple[int, int, int] = ...,
        classes: int = ...,
        quantize_first: bool = True,
        quantize_last: bool = True,
        estimator: str = "aqe",
        stochastic: bool = False,
        pad_value: float = 0.0,
        name: str = ...,
        **own: Any,
    ) -> keras.Model: ...


def network(
    input_shape: tuple[int, int, int],
    classes: int,
    smallest: int,
    name: str,
    float_ends: bool = True,
) -> Callable[[Callable[..., Any]], Network]:
    """Makes a network of a function from images to logits.

    The function takes the network's `Parts`, the images, and its own
    arguments: positional ones come in front of those that all networks have,
    keyword-only ones behind `quantize_last`. Its docstring describes its own
    arguments; the others are added.

    Args:
        input_shape: The default `(height, width, channels)`.
        classes: The default number of logits.
        smallest: The least height and width.
        name: The default name of the model.
        float_ends: Whether there are `quantize_first` and `quantize_last`.

    Returns:
        A decorator.

    Example:

    ```python
    @network((32, 32, 3), classes=10, smallest=3, name="tiny")
    def Tiny(parts, x, *, filters=8):
        \"\"\"A convolution and a dense layer.

        Args:
            filters: Filters of the convolution.
        \"\"\"
        x = parts.image_conv(x, filters, 3, "conv")
        return parts.pooled_logits(parts.opening(x, "conv"))

    model = Tiny(input_bits=2, weight_bits=1, filters=16)
    ```
    """

    def shared(
        input_bits: int = 1,
        weight_bits: int = 1,
        input_shape: tuple[int, int, int] = input_shape,
        classes: int = classes,
        quantize_first: bool = True,
        quantize_last: bool = True,
        *,
        estimator: str = "aqe",
        stochastic: bool = False,
        pad_value: float = 0.0,
        name: str = name,
    ) -> None: ...

    def decorate(function: Callable[..., Any]) -> Network:
        signature, own = _signature(function, shared, float_ends)

        @functools.wraps(function)
        def build(*args: Any, **kwargs: Any) -> keras.Model:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = dict(bound.arguments)
            own_given = {key: given.pop(key) for key in own}
            _check_input_shape(given["input_shape"], smallest)
            inputs = keras.Input(given.pop("input_shape"), name="image")
            model_name = given.pop("name")
            outputs = function(Parts(**given), inputs, **own_given)
            return keras.Model(inputs, outputs, name=model_name)

        build.__signature__ = signature  # type: ignore[attr-defined]
        build.__annotations__ = {
            "return": keras.Model,
            **{p.name: p.annotation for p in signature.parameters.values()},
        }
        build.__doc__ = _documented(function, signature, smallest)
        return build

    return decorate


def _signature(function, shared, float_ends):
    """The whole signature, and the names of a network's own arguments."""
    _, _, *own = inspect.signature(function).parameters.values()
    common = [
        parameter
        for parameter in inspect.signature(shared).parameters.values()
        if float_ends
        or parameter.name not in ("quantize_first", "quantize_last")
    ]

    def of_kind(parameters, kind):
        return [p for p in parameters if p.kind == kind]

    front, behind = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        (inspect.Parameter.KEYWORD_ONLY),
    )
    parameters = [
        *of_kind(own, front),
        *of_kind(common, front),
        *of_kind(own, behind),
        *of_kind(common, behind),
    ]
    signature = inspect.Signature(
        [p.replace(kind=front) for p in parameters],
        return_annotation=keras.Model,
    )
    return signature, [p.name for p in own]


def _documented(function, signature, smallest):
    """The docstring of a network with the arguments of all networks."""
    if function.__doc__ is None:  # python -OO
        return None
    before, args, after = _split(inspect.cleandoc(function.__doc__))
    shape = _DESCRIPTIONS["input_shape"].format(smallest=smallest)
    described = {**_DESCRIPTIONS, "input_shape": shape, **args}
    listed = "".join(described[name] for name in signature.parameters)
    return f"{before}Args:\n{listed}\n{_RESULT}\n{after}"


def _split(text):
    """A docstring before its arguments, each of these, and what follows."""
    before, rest = text.split("Args:\n")
    lines = rest.splitlines(keepends=True)
    args = {}
    while lines and lines[0].startswith("    "):
        line = lines.pop(0)
        if not line.startswith("     "):
            name = line.split(":")[0].strip()
        args[name] = args.get(name, "") + line
    return before, args, "".join(lines).lstrip("\n")


def _check_input_shape(input_shape, smallest):
    """Raises `ValueError` unless the shape is that of large enough images."""
    if len(input_shape) != 3 or min(input_shape[:2]) < smallest:
        raise ValueError(
            "`input_shape` must be (height, width, channels) with height and "
            f"width of at least {smallest}. "
            f"Received: input_shape={input_shape}"
        )
