"""From a model to a file and its report: what `convert` and `check` do."""

import dataclasses

import keras

from keras_aqe.converters.errors import (
    ConversionError,
    FloatLayerError,
    other_types,
    raising,
    unconvertible,
)
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.graph.pixels import with_uint8_input
from keras_aqe.converters.interpreter import Interpreter
from keras_aqe.converters.report import RUNS_IN_FLOAT, report
from keras_aqe.converters.targets import TARGETS, node_names
from keras_aqe.converters.targets.description import describe
from keras_aqe.converters.targets.ownership import layer_in
from keras_aqe.converters.targets.target import Options
from keras_aqe_runtime.errors import EngineMissingError
from keras_aqe_runtime.file import flatbuffer, metadata
from keras_aqe_runtime.load import load


@dataclasses.dataclass(frozen=True)
class Request:
    """What `convert` and `check` are asked for: see the first for each.

    Raises:
        ValueError: If `target` is unknown, or has no use for `compact`.
    """

    target: str
    strict: bool = True
    compact: bool = False
    allow_soft: bool = False
    image: keras.layers.Layer | list[keras.layers.Layer] | None = None

    def __post_init__(self):
        if self.target not in TARGETS:
            raise ValueError(
                f"`target` must be one of {list(TARGETS)}. "
                f"Received: target={self.target!r}"
            )
        if self.compact and not TARGETS[self.target].takes_compact:
            takers = [
                n for n, target in TARGETS.items() if target.takes_compact
            ]
            raise ValueError(
                f"`compact` is for a target of {takers}; others choose the "
                "bits of a weight themselves. Received: "
                f"target={self.target!r}"
            )


def with_image(model, request, refuse=raising):
    """The model that is converted: the one on images if there is an `image`.

    Args:
        model: A built Functional or Sequential model.
        request: A `Request`.
        refuse: Called with the `ConversionError` of a model that cannot have
            one. Where it returns, the model stays as it is.

    Raises:
        ConversionError: What `refuse` raises.
        ValueError: If the request has something else as its `image`.
    """
    if request.image is not None:
        try:
            return with_uint8_input(model, request.image)
        except ConversionError as error:
            refuse(error)
    return model


def run(
    model,
    request,
    step=lambda name: None,
    refuse=raising,
    without=(),
):
    """Converts a model.

    Args:
        model: What `with_image` returned.
        request: A `Request`.
        step: Called with the name of what begins.
        refuse: Called with the `ConversionError` of each layer that cannot
            be converted. Where it returns, the file is one of the rest.
        without: Names of layers that are left out.

    Returns:
        The file, a `load.File`, its `Report`, and the `Interpreter` that it
        was tried in, `None` if that refused it or is not installed.

    Raises:
        ConversionError: What `refuse` raises, and where it cannot go on.
    """
    types = [(t.name, t.dtype) for t in getattr(model, "inputs", None) or []]
    target, strict = TARGETS[request.target], request.strict
    refused = set()

    def refuse_explained(error):
        refused.add(error.layer)
        refuse(_explained(error, None, types))

    graph = None
    try:
        step("reading the model")
        graph = build(model, request.allow_soft, refuse_explained, without)
        if strict:
            for refusal in target.refusals(graph):
                refuse_explained(refusal)
        step("writing operators")
        file = load(_file(graph, target, Options(request.compact)))
        rows = report(file)
    except Exception as error:
        explained = _explained(error, graph, types)
        if explained is error:
            raise
        raise explained  # noqa: B904  with its cause
    if strict:
        for row in rows:
            if row.note == RUNS_IN_FLOAT and row.name not in refused:
                refuse(_not_integer(row))
    step("trying the file")
    return file, rows, _try_out(file, graph, refuse)


def _explained(error, graph, types):
    """An error that names what is wrong in the terms of the model."""
    cause = error.__cause__
    if not isinstance(error, ConversionError):
        layer = _layer_in(error, graph)
        error, cause = unconvertible(error, layer), error
    if cause is None:
        return error
    explained = type(error)(f"{error}{other_types(types)}", error.layer)
    explained.__cause__, explained.more = cause, error.more
    return explained


def _file(graph, target, options):
    emitted, codes = target.emit(graph, options)
    # A digest is that of the types that a reader gets.
    emitted = flatbuffer.read(flatbuffer.write(emitted))
    return metadata.seal(emitted, describe(emitted, codes, graph, target))


def _layer_in(error, graph):
    """The layer whose operators an error of TensorFlow's converter names."""
    places = [str(error), *map(str, getattr(error, "errors", []))]
    numbers = node_names.numbers_in(" ".join(places))
    if graph is None or not numbers:
        return None
    return graph.nodes[numbers[0]].name


def _try_out(file, graph, refuse):
    """The interpreter that ran one example, `None` if none could."""
    try:
        interpreter = Interpreter(file)
        interpreter.try_out()
        return interpreter
    except EngineMissingError:
        return None  # the file may be for another machine
    except ConversionError as error:
        layer = layer_in(str(error), file.model, graph)
        subject = "The model" if layer is None else f"Layer {layer!r}"
        fault = getattr(error, "fault", error)
        explained = ConversionError(
            f"{subject} was converted, but the result cannot run: {fault}. "
            "Make the layer smaller or use another one or another target; if "
            "it is an ordinary one, please report this with the model.",
            layer,
        )
        explained.__cause__ = error
        refuse(explained)
        return None


def _not_integer(row):
    return FloatLayerError(
        f"Layer {row.name!r} ({row.input_bits}-bit input, "
        f"{row.weight_bits}-bit kernel) came out as {row.op} in float and not "
        f"as {row.operation}. Pass strict=False to accept that, or use "
        "another target.",
        row.name,
    )
