import dataclasses
import os
import pathlib
import tempfile

from keras_aqe.converters import graph, lce, report, tflite


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
    report: report.Report

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


def convert(model, target="lce", strict=True):
    """Converts a trained model to a .tflite file that computes the same.

    The file's codes and accumulators equal those of `model(x,
    training=False)`; batch normalisation and the quantizer after it become
    thresholds on the accumulators.

    Args:
        model: A built Functional or Sequential `keras.Model` in float32.
        target: `"lce"`: Larq Compute Engine's operators, layers of up to 8
            bits as sums of XNORs. `"tflite"`: builtin operators only, any
            width, in float arithmetic.
        strict: Whether a quantized layer that would not run as its operation
            is an error (under `"lce"`; the layer on the image keeps a float
            convolution with the codes of its kernel).

    Returns:
        A `Converted`.

    Raises:
        ConversionError: If the model cannot be converted; the message names
            the layer and says what to do.
        ValueError: If `target` is unknown.

    Example:

    ```python
    converted = keras_aqe.converters.convert(model, target="lce")
    converted.save("model.tflite")
    print(converted.report)
    ```
    """
    if target not in ("lce", "tflite"):
        raise ValueError(
            f"`target` must be 'lce' or 'tflite'. Received: target={target!r}"
        )
    if target == "lce":
        lce.require()
    inference = graph.build(model)
    if target == "lce":
        flatbuffer, sums = lce.emit(inference, strict)
    else:
        flatbuffer, sums = tflite.emit(inference)
    return Converted(flatbuffer, report.make(flatbuffer, sums))


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
