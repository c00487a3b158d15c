"""What becomes of a sum's floats in the operator that computes them."""

import collections
import dataclasses

from keras_aqe.converters.graph import folding
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import is_addition


@dataclasses.dataclass(frozen=True)
class Stage:
    """Floats that one operator scales, adds to others and quantizes.

    Args:
        branch: The node that a scaled sum gives; the stage's own where
            nothing is added.
        addend: The node that it is added to, or `None`.
        quantizer: The `nodes.Quantize` whose codes it writes, or `None`.
        chain: The layers in between.
        keeps_floats: Whether anything but that quantizer reads the floats.
    """

    branch: g.Node
    addend: g.Node | None
    quantizer: g.Quantize | None
    chain: list
    keeps_floats: bool


def find(graph, is_scaled_sum, is_quantizer):
    """The stages of a graph.

    Args:
        graph: A `nodes.Graph`.
        is_scaled_sum: Function from a node to whether an operator with
            weights can return it, but for what a stage does.
        is_quantizer: Function from a `nodes.Quantize` and the layers in front
            of it to whether that operator can hold both.

    Returns:
        A dict from nodes to their `Stage`.
    """
    readers = collections.defaultdict(list)
    for node in graph.outputs:
        readers[node].append(None)
    quantizers = {}
    for node in graph.nodes:
        for source in node.sources():
            readers[source].append(node)
        if isinstance(node, g.Quantize):
            chain, source = folding.chain_of(node.source, pools=False)
            if source not in quantizers and is_quantizer(node, chain):
                quantizers[source] = (node, chain)
    stages = {}
    for node in graph.nodes:
        quantizer, chain = quantizers.get(node, (None, []))
        branch, addend = _branches(node, readers, is_scaled_sum)
        if quantizer is None and None in readers[node]:
            # An operator that only writes an output of the file is named after
            # that, so that its layer could not be told from the other branch.
            continue
        keeps_floats = not _is_only_reader(quantizer, node, readers)
        # What codes alone are made of is folded into their thresholds, unless
        # it is an addition.
        if (
            branch is None
            and quantizer is not None
            and keeps_floats
            and isinstance(node, g.Apply)
            and is_scaled_sum(node)
        ):
            branch = node
        if branch is not None:
            stages[node] = Stage(branch, addend, quantizer, chain, keeps_floats)
    return stages


def _branches(node, readers, is_scaled_sum):
    """A scaled sum that only an addition reads, and what it is added to."""
    if (
        not isinstance(node, g.Apply)
        or not is_addition(node.operation)
        or any(source.dtype != "float32" for source in node.sources())
    ):
        return None, None
    sources = node.sources()
    if len(sources) == 2 and all(s.shape == node.shape for s in sources):
        for branch, addend in (sources[::-1], sources):
            if len(readers[branch]) == 1 and is_scaled_sum(branch):
                return branch, addend
    return None, None


def _is_only_reader(quantizer, node, readers):
    """Whether all that reads a node, or the layers behind, is a quantizer."""
    while node is not quantizer:
        if quantizer is None or len(readers[node]) != 1:
            return False
        (node,) = readers[node]
    return True
