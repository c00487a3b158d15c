"""Names that lead from operators back to nodes."""

import types

import pytest

from keras_aqe.converters.targets import node_names


@pytest.mark.parametrize("number", [0, 7, 123])
def test_a_scope_leads_back(number):
    scope = node_names.scope(types.SimpleNamespace(number=number))
    for name in (scope, f"{scope}Conv2D", f"{scope}a;x/y", f"x/y;{scope}b"):
        tensor = types.SimpleNamespace(name=name.encode())
        assert node_names.numbers(tensor) == [number]
    assert node_names.numbers_in(f"at '{scope}add' of loc") == [number]


@pytest.mark.parametrize("name", [None, b"", b"n/", b"an3/x", b"x/n3/y"])
def test_other_names_lead_nowhere(name):
    assert node_names.numbers(types.SimpleNamespace(name=name)) == []


def test_fused_operators_have_the_names_of_all():
    tensor = types.SimpleNamespace(name=b"n4/conv;n5/add")
    assert node_names.numbers(tensor) == [4, 5]
