"""Where the layers of a float model stand, and what they see."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_aqe.graph import as_inputs, run
from keras_aqe.quantization import ranges
from keras_aqe.quantization.choices import reason_to_keep


@dataclasses.dataclass
class Site:
    """Where a layer with weights stands in the graph.

    Args:
        layer: The layer.
        path: Its path.
        samples: What its inputs are thought to hold, one for each call.
        extremes: The same, but as far as they may go.
        is_first: Whether it reads a model input, with no weights in between.
        is_last: Whether its output reaches a model output through no layer
            that has a quantized form.
        measured: What its inputs held, of data.
    """

    layer: Any
    path: str
    samples: list[np.ndarray] = dataclasses.field(default_factory=list)
    extremes: list[np.ndarray] = dataclasses.field(default_factory=list)
    is_first: bool = False
    is_last: bool = False
    measured: list[np.ndarray] = dataclasses.field(default_factory=list)

    @property
    def is_unsigned(self) -> bool:
        """Whether inputs are never below 0."""
        samples = self.samples + self.extremes
        return all(sample.min() >= 0 for sample in samples)


@dataclasses.dataclass(frozen=True)
class _Flow:
    """What is known of a tensor.

    Args:
        samples: Values that it is thought to hold, for each spread.
        is_raw: Whether no trained layer is before it.
        sources: Keys of the layers of a quantized form that reach it through
            no other such layer.
    """

    samples: list[np.ndarray]
    is_raw: bool
    sources: frozenset[int] = frozenset()


def find(graph: Any) -> dict[int, Site]:
    """Finds every layer with weights, but those of normalisations.

    Args:
        graph: A Functional model, with nested ones or not.

    Returns:
        A `Site` for each layer by its `id`, in the order of the graph.
    """
    sites: dict[int, Site] = {}

    def visit(call):
        layer, flows = call.operation, call.values(_Flow)
        samples = [
            ranges.assumed(call.map(_sample_of(place)), spread)
            for place, spread in enumerate(ranges.SPREADS)
        ]
        is_raw = all(flow.is_raw for flow in flows)
        sources = frozenset().union(*(flow.sources for flow in flows))
        if _has_weights(layer):
            site = sites.setdefault(id(layer), Site(layer, call.path))
            if flows:
                usual, extreme = flows[0].samples
                site.samples.append(usual)
                site.extremes.append(extreme)
            site.is_first |= is_raw
            is_raw = False
            if not reason_to_keep(layer):
                sources = frozenset([id(layer)])
        flow = _Flow(samples, is_raw, sources)
        return [flow] * len(call.node.output_tensors)

    raw = _Flow([*map(ranges.normal, ranges.SPREADS)], is_raw=True)
    for flow in run(graph, [raw] * len(graph.inputs), visit):
        for key in flow.sources:
            sites[key].is_last = True
    return sites


def _sample_of(place):
    return lambda x: x.samples[place] if isinstance(x, _Flow) else x


def _has_weights(layer):
    """Whether a layer has weights beside those of a normalisation."""
    return (
        isinstance(layer, keras.layers.Layer)
        and bool(layer.weights)
        and not isinstance(layer, ranges.NORMALISATIONS)
    )


def measure(graph: Any, data: Any, sites: dict[int, Site]) -> None:
    """Runs data through the float model, and keeps what layers see of it.

    Args:
        graph: The Functional model.
        data: A batch in the structure that it takes.
        sites: What `find` found in it.
    """

    def visit(call):
        site = sites.get(id(call.operation))
        if site is not None and not reason_to_keep(site.layer):
            arguments = [*call.args, *call.kwargs.values()]
            values = keras.ops.convert_to_numpy(arguments[0])
            site.measured.append(ranges.thinned(values))
        return call.infer()

    run(graph, as_inputs(graph, data, "data"), visit)
