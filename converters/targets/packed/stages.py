"""What becomes of a sum's floats in the operator that computes them."""

import collections
import dataclasses

from keras_aqe.converters.graph import folding
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import is_addition


@dataclasses.dataclass(frozen=True)
class Stage:
    """Floats that one operator scales, adds to others, limits and quantizes.

    Args:
        branch: The node that a scaled sum gives; the stage's own where
            nothing is added or limited.
        addend: The node that it is added to, or `None`.
        limits: The least and the greatest of the floats, or `None`.
        quantizers: A dict from each `nodes.Quantize` whose codes it writes,
            or the `nodes.Shift` of one, to the layers in between.
        keeps_floats: Whether anything but these quantizers reads the floats.
    """

    branch: g.Node
    addend: g.Node | None
    limits: tuple[float, float] | None
    quantizers: dict
    keeps_floats: bool


def find(graph, is_scaled_sum, is_quantizer, is_folded):
    """The stages of a graph.

    Args:
        graph: A `nodes.Graph`.
        is_scaled_sum: Function from a node to whether an operator with
            weights can return it, but for what a stage does.
        is_quantizer: Function from a `nodes.Quantize` and the layers in front
            of it to whether that operator can hold both. It is asked of
            `nodes.Shift` as well, whose source is the quantizer.
        is_folded: Function from one of these to whether what stands in front
            of it, if nothing but its codes is read, becomes part of it.

    Returns:
        A dict from nodes to their `Stage`.
    """
    readers = collections.defaultdict(list)
    for node in graph.outputs:
        readers[node].append(None)
    quantizers = collections.defaultdict(dict)
    for node in graph.nodes:
        for source in node.sources():
            readers[source].append(node)
        quantize = node.source if isinstance(node, g.Shift) else node
        if isinstance(quantize, g.Quantize):
            for source, chain in _sources(quantize, is_folded(node)):
                if is_quantizer(node, chain):
                    quantizers[source][node] = chain
    stages = {}
    # The last first: what limits floats takes in the addition before it.
    taken = set()
    for node in reversed(graph.nodes):
        if node in taken:
            continue
        keeps_floats = not _are_only_readers(quantizers[node], node, readers)
        if not quantizers[node] and None in readers[node]:
            # An operator that only writes an output of the file is named after
            # that, so that its layer could not be told from the other branch.
            continue
        base, limits = node, None
        # What codes alone are made of is folded into their thresholds, unless
        # it is an addition.
        needs_floats = keeps_floats or not all(map(is_folded, quantizers[node]))
        if needs_floats:
            base, limits = _limited(node, readers)
        branch, addend = _branches(base, readers, is_scaled_sum)
        is_quantized = isinstance(base, g.Apply) and (
            len(quantizers[node]) > 1 or (quantizers[node] and needs_floats)
        )
        if (
            branch is None
            and (limits is not None or is_quantized)
            and is_scaled_sum(base)
        ):
            branch = base
        if branch is not None:
            stages[node] = Stage(
                branch, addend, limits, quantizers[node], keeps_floats
            )
            taken.add(base)
    return stages


def _sources(quantize, is_folded):
    """What a quantizer may be on, each with the layers in between.

    That is what the first of these layers is on, and what layers that only
    limit it return: they round nothing. Where layers do not become part of it,
    it is what the last one returns.
    """
    if not is_folded:
        yield quantize.source, []
        return
    chain, _ = folding.chain_of(quantize.source, pools=False)
    node = quantize.source
    for index in range(len(chain), -1, -1):
        if None not in map(folding.limits, chain[:index]):
            yield node, chain[index:]
        if index:
            node = node.args[0]


def _limited(node, readers):
    """What a node limits, if nothing else reads it, and to what."""
    if isinstance(node, g.Apply) and node.dtype == "float32":
        limits = folding.limits(node.operation)
        (source, *_) = node.sources() or (None,)
        if limits is not None and readers[source] == [node]:
            return source, limits
    return node, None


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


def _are_only_readers(quantizers, node, readers):
    """Whether all that reads a node, or the layers behind, is a quantizer."""
    between = set()
    for quantizer in quantizers:
        source = quantizer.source
        while source is not node:
            between.add(source)
            (source,) = source.sources()
    return bool(quantizers) and all(
        reader in quantizers or reader in between
        for read in (node, *between)
        for reader in readers[read]
    )
