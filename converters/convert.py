import dataclasses
import os
import pathlib
import tempfile

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.file import metadata
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.report import RUNS_IN_FLOAT, Report, report
from keras_aqe.converters.targets.builtin import emitter as tflite
from keras_aqe.converters.targets.lce import emitter as lce
from keras_aqe.converters.targets.packed import emitter as packed


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted model.

    Args:
        flatbuffer: The .tflite file as bytes.
        report: A row for each quantized layer: name, widths, operation, the
            operator in the file, its weights' bytes and its
            multiply-accumulates. Prints as a table.
    """

    flatbuffer: bytes
    report: Report

    def save(self, path):
        """Writes the file; a failure leaves nothing half written."""
        path = pathlib.Path(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.flatbuffer)
            # mkstemp makes files that only their owner can read.
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def convert(
    model, target="packed", strict=True, compact=False, allow_soft=False
):
    """Converts a trained model to a .tflite file that computes the same.

    The file's codes and accumulators equal those of `model(x,
    training=False)`; batch normalisation and the quantizer after it become
    thresholds on the accumulators.

    Args:
        model: A built Functional or Sequential `keras.Model` in float32.
        target: `"packed"`: N bits a weight, run as XNOR and SHIFT by
            `keras_aqe.runtime` in LiteRT. `"lce"`: Larq Compute Engine's
            operators, wider codes as sums of binary planes. `"tflite"`:
            builtin operators only, on int8.
        strict: Whether a quantized layer that would not run as its operation
            is an error. (Under `"lce"` the layer on the image keeps a float
            convolution with its ±1 kernel all the same.)
        compact: Under `"tflite"`, whether kernels of dense layers take 2 or 4
            bits where they fit. Such files need LiteRT or TensorFlow 2.21;
            tflite-runtime 2.14 refuses them.
        allow_soft: Whether a model whose last training step was below
            alpha = 1 is converted all the same. The file is then exactly the
            hard network that `model.evaluate` measures, which is far worse
            than the blended one that was trained.

    Returns:
        A `Converted`.

    Raises:
        ConversionError: If the model cannot be converted; the message names
            the layer and says what to do.
        ValueError: If `target` is unknown, or has no use for `compact`.

    Example:

    ```python
    converted = keras_aqe.converters.convert(model)
    converted.save("model.tflite")
    print(converted.report)
    ```
    """
    if target not in ("packed", "lce", "tflite"):
        raise ValueError(
            "`target` must be 'packed', 'lce' or 'tflite'. "
            f"Received: target={target!r}"
        )
    if compact and target != "tflite":
        raise ValueError(
            "`compact` is for target='tflite' only; 'packed' files have N "
            f"bits a weight anyway. Received: target={target!r}"
        )
    inference = build(model, allow_soft)
    if target == "lce":
        file = lce.emit(inference, strict)
    elif target == "packed":
        file = packed.emit(inference, strict)
    else:
        file = tflite.emit(inference, compact)
    flatbuffer = metadata.add(file, inference, target)
    rows = report(flatbuffer)
    if strict:
        _require_integers(rows)
    return Converted(flatbuffer, rows)


def _require_integers(rows):
    for row in rows:
        if row.note == RUNS_IN_FLOAT:
            raise ConversionError(
                f"Layer {row.name!r} ({row.input_bits}-bit input, "
                f"{row.weight_bits}-bit kernel) came out as {row.op} in float "
                f"and not as {row.operation}. Pass strict=False to accept "
                "that, or use another target."
            )


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
