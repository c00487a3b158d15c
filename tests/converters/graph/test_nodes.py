"""Values of a graph: their order, and what a sum says of its codes."""

import numpy as np
import pytest

from keras_aqe.converters.graph import nodes


def apply(*sources, **named):
    return nodes.Apply("layer", (None, 4), args=sources, kwargs=named)


def graph(inputs, outputs):
    return nodes.Graph(inputs, outputs, [], [], 0, [], 0)


def test_each_node_comes_after_its_sources():
    first, second = (nodes.Input(name, (None, 4)) for name in "ab")
    both = apply([first, {"other": second}])
    again = apply(both, mask=first)
    last = nodes.Quantize("quant", (None, 4), source=again)
    found = graph([second, first], [last, both])
    assert found.nodes[:2] == [second, first]
    assert set(found.nodes) == {first, second, both, again, last}
    for number, node in enumerate(found.nodes):
        assert node.number == number
        assert all(source.number < number for source in node.sources())


def test_a_chain_may_be_longer_than_pythons_stack():
    node = start = nodes.Input("x", (None, 4))
    for _ in range(5000):
        node = apply(node)
    assert len(graph([start], [node]).nodes) == 5001


def test_sums_are_the_quantized_layers():
    start = nodes.Input("x", (None, 4))
    layer = nodes.Sum("dense", (None, 2), source=start, kernel=np.ones((4, 2)))
    other = apply(layer)
    assert graph([start], [other]).sums == [layer]


@pytest.mark.parametrize("pad_code, largest", [(0.0, 4), (-2.5, 4), (-7.0, 7)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_groups_and_the_largest_code(groups, pad_code, largest):
    source = nodes.Input("x", (None, 8, 8, 6), levels=np.array([-4, 0, 3]))
    window = nodes.Window((1, 1), (1, 1), ((1, 1), (1, 1)), pad_code)
    kernel = np.ones((3, 3, 6 // groups, 12))
    layer = nodes.Sum(
        "conv", (None, 8, 8, 12), source=source, kernel=kernel, window=window
    )
    assert (layer.groups, layer.largest_code) == (groups, largest)
    layer.window = None
    assert layer.largest_code == 4


def test_codes_lead_to_what_made_them():
    made = nodes.Quantize("quant", (None, 4))
    moved = nodes.Pad("pad", (None, 6), source=apply(made), pads=((0, 0),))
    assert nodes.quantization(moved) is made
    assert graph([made], [apply(moved)]).nodes[2] is moved
