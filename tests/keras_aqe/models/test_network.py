"""What the networks share: signature, documentation and checks."""

import inspect
import typing

import keras
import pytest

from keras_aqe import models
from keras_aqe.models.network import network

NETWORKS = [name for name in models.__all__ if name not in ("load_pretrained",)]
FIRST = ["input_bits", "weight_bits", "input_shape", "classes"]
LAST = ["estimator", "stochastic", "pad_value", "name"]


@network((12, 12, 3), classes=5, smallest=4, name="tiny")
def Tiny(parts, x, kind: str = "plain", *, filters: int = 8):
    """A convolution and a dense layer.

    Args:
        kind: A word
            or two.
        filters: Filters of the convolution.

    Example:

    >>> Tiny().output_shape
    (None, 5)
    """
    if kind != "plain":
        raise ValueError(f"Received: kind={kind!r}")
    x = parts.image_conv(x, filters, 3, "conv")
    return parts.pooled_logits(parts.opening(x, "conv"))


def described(function):
    """The arguments in a docstring, in order."""
    text = inspect.cleandoc(function.__doc__)
    args = text.split("Args:\n")[1].split("\n\n")[0]
    return [
        line.split(":")[0].strip()
        for line in args.splitlines()
        if not line.startswith("     ")
    ]


def test_a_network_is_one_function():
    model = Tiny("plain", 2, 1, filters=4, name="mine", quantize_last=False)
    assert isinstance(model, keras.Model) and model.name == "mine"
    assert model.output_shape == (None, 5)
    assert model.get_layer("conv").kernel_quantizer.bits == 1
    assert model.get_layer("conv_quant").quantizer.bits == 2
    assert isinstance(model.get_layer("logits"), keras.layers.Dense)
    assert list(inspect.signature(Tiny).parameters) == described(Tiny)
    assert described(Tiny)[:2] == ["kind", "input_bits"]
    assert "or two." in Tiny.__doc__ and "at least\n        4." in Tiny.__doc__


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"input_shape": (3, 9, 3)}, "at least 4"),
        ({"weight_bits": 8}, "`weight_bits`"),
        ({"kind": "odd"}, "kind='odd'"),
    ],
)
def test_checks(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tiny(**arguments)


@pytest.mark.parametrize("name", NETWORKS)
def test_signatures_are_one_list_and_documented(name):
    function = getattr(models, name)
    parameters = inspect.signature(function).parameters
    names = list(parameters)
    assert described(function) == names
    start = names.index(FIRST[0])
    assert names[start : start + 4] == FIRST and names[-4:] == LAST
    assert all(p.default is not p.empty for p in parameters.values())
    hints = typing.get_type_hints(function)
    assert hints.pop("return") is keras.Model and list(hints) == names
