import dataclasses
import os
import pathlib
import tempfile

import keras

from keras_aqe.converters.child import under_tensorflow
from keras_aqe.converters.errors import (
    ConversionError,
    EngineMissingError,
    other_types,
    unconvertible,
)
from keras_aqe.converters.file import flatbuffer, metadata
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.graph.pixels import with_uint8_input
from keras_aqe.converters.interpreter import Interpreter
from keras_aqe.converters.load import load
from keras_aqe.converters.report import RUNS_IN_FLOAT, Report, report
from keras_aqe.converters.targets import TARGETS, node_names
from keras_aqe.converters.targets.description import describe
from keras_aqe.converters.targets.ownership import layer_in
from keras_aqe.converters.targets.target import Options


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted model.

    Args:
        flatbuffer: The .tflite file as bytes.
        report: The file's `Report`: a row for each layer with weights (name,
            widths, operation, the operators in the file, its bytes and its
            multiply-accumulates) and totals. Prints as a table.

    Example:

    ```python
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model, target="tflite")
    print(len(converted.flatbuffer), converted.report.macs)
    ```
    """

    flatbuffer: bytes
    report: Report

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file; a failure leaves nothing half written.

        Args:
            path: Where to write it. A file that is there is replaced.

        Raises:
            OSError: If it cannot be written; `filename` is the path.
        """
        path = pathlib.Path(path)
        try:
            _write(path, self.flatbuffer)
        except OSError as error:
            # A full disk has no name, and others that of a temporary file.
            raise OSError(error.errno, error.strerror, str(path)) from error


@under_tensorflow
def convert(
    model: keras.Model,
    target: str = "packed",
    strict: bool = True,
    compact: bool = False,
    allow_soft: bool = False,
    image: keras.layers.Layer | list[keras.layers.Layer] | None = None,
) -> Converted:
    """Converts a trained model to a .tflite file that computes the same.

    Where the engine that runs such files is installed, the file is run once on
    one example, so that what an engine refuses is never returned.

    The file's codes and accumulators equal those of `model(x,
    training=False)`; batch normalisation and the quantizer after it become
    thresholds on the accumulators.

    Under another backend of Keras than TensorFlow, a child process loads the
    model under TensorFlow, compares it with this one, converts it and verifies
    the file; a warning says so. TensorFlow has to be installed.

    Args:
        model: A built Functional or Sequential `keras.Model` in float32.
        target: `"packed"`: N bits a weight, run as XNOR and SHIFT by
            `keras_aqe.runtime` in LiteRT. `"lce"`: Larq Compute Engine's
            operators, wider codes as sums of binary planes. `"tflite"`:
            builtin operators only, on int8.
        strict: Whether it is an error if a quantized layer would be
            multiplied in float though its operation is XNOR or SHIFT, or MAC
            of 8 bits or fewer on both sides. Exceptions are, under `"lce"`
            and `"tflite"`, the layer on the image, and, under `"tflite"`,
            layers with 16 or 32 bits on one side and those whose sum goes on
            as a float. Layers without quantizers, such as plain Keras layers,
            are float layers, strict or not. The report has a row for each of
            these, says why in its note, and counts it as `"float"`.
        compact: Under `"tflite"`, whether kernels of dense layers take 2 or 4
            bits where they fit. Such files need LiteRT or TensorFlow 2.21;
            tflite-runtime 2.14 refuses them.
        allow_soft: Whether a model whose last training step was below
            alpha = 1 is converted all the same. The file is then exactly the
            hard network that `model.evaluate` measures, which is far worse
            than the blended one that was trained.
        image: The `Rescaling` or `Normalization`, or a list of such layers,
            that `model`'s images went through before it saw them. The file
            then takes images of uint8 and does so itself.

    Returns:
        A `Converted`.

    Raises:
        ConversionError: If the model cannot be converted; the message names
            the layer and says what to do.
        ValueError: If `target` is unknown, or has no use for `compact`, or
            `image` is something else.

    Example:

    ```python
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model)
    converted.save("model.tflite")
    print(converted.report)
    ```
    """
    if target not in TARGETS:
        raise ValueError(
            f"`target` must be one of {list(TARGETS)}. "
            f"Received: target={target!r}"
        )
    if compact and not TARGETS[target].takes_compact:
        takers = [name for name, t in TARGETS.items() if t.takes_compact]
        raise ValueError(
            f"`compact` is for a target of {takers}; others choose the bits "
            f"of a weight themselves. Received: target={target!r}"
        )
    if image is not None:
        model = with_uint8_input(model, image)
    graph = None
    try:
        graph = build(model, allow_soft)
        file = load(_file(graph, TARGETS[target], Options(strict, compact)))
        rows = report(file)
    except Exception as error:
        named, cause = error, error.__cause__
        if not isinstance(error, ConversionError):
            named = unconvertible(error, _layer_in(error, graph))
            cause = error
        if cause is None:
            raise
        types = [(tensor.name, tensor.dtype) for tensor in model.inputs]
        raise ConversionError(f"{named}{other_types(types)}") from cause
    if strict:
        _require_integers(rows)
    _require_engine(file, graph)
    return Converted(file.data, rows)


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


def _require_engine(file, graph):
    try:
        Interpreter(file).try_out()
    except EngineMissingError:
        pass  # the file may be for another machine
    except ConversionError as error:
        layer = layer_in(str(error), file.model, graph)
        subject = "The model" if layer is None else f"Layer {layer!r}"
        fault = getattr(error, "fault", error)
        raise ConversionError(
            f"{subject} was converted, but the result cannot run: {fault}. "
            "Make the layer smaller or use another one or another target; if "
            "it is an ordinary one, please report this with the model."
        ) from error


def _require_integers(rows):
    for row in rows:
        if row.note == RUNS_IN_FLOAT:
            raise ConversionError(
                f"Layer {row.name!r} ({row.input_bits}-bit input, "
                f"{row.weight_bits}-bit kernel) came out as {row.op} in float "
                f"and not as {row.operation}. Pass strict=False to accept "
                "that, or use another target."
            )


def _write(path, content):
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes files that only their owner can read.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
