import dataclasses
import os
from typing import Any

import keras

from keras_aqe import progress, tables
from keras_aqe.converters import pipeline
from keras_aqe.converters.child import under_tensorflow
from keras_aqe.converters.report import Report
from keras_aqe.files import write_whole


@dataclasses.dataclass(frozen=True, repr=False)
class Converted:
    """A converted model; renders as its report in notebooks.

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
    print(converted.bytes, converted.macs, converted.to_dict()["target"])
    ```
    """

    flatbuffer: bytes
    report: Report

    @property
    def target(self) -> str:
        """What it was converted for."""
        return self.report.target

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return len(self.flatbuffer)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return self.report.macs

    @property
    def bops(self) -> int:
        """Bit operations of one inference."""
        return self.report.bops

    @property
    def energy(self) -> float:
        """An estimate of the energy of one inference in microjoules."""
        return self.report.energy

    def to_dict(self) -> dict[str, Any]:
        """What the report says, as what JSON has."""
        return self.report.to_dict()

    def __repr__(self) -> str:
        return (
            f"<Converted target={self.target!r}, {self.bytes:,} bytes, "
            f"{len(self.report)} layers, {self.macs:,} MACs>"
        )

    def _repr_html_(self) -> str:
        head = tables.text_html(repr(self).strip("<>"))
        return f"<p>{head}</p>{self.report._repr_html_()}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the file; a failure leaves nothing half written.

        Args:
            path: Where to write it. A file that is there is replaced.

        Raises:
            OSError: If it cannot be written; `filename` is the path.
        """
        try:
            write_whole(path, lambda path: path.write_bytes(self.flatbuffer))
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
    verbose: int = 0,
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
        model: A built Functional or Sequential `keras.Model` in float32. A
            batch that it fixes is the file's, which otherwise takes any.
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
        verbose: 0 for silence, 1 for a progress bar.

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
    request = pipeline.Request(target, strict, compact, allow_soft, image)
    with progress.bar("converting", verbose) as step:
        model = pipeline.with_image(model, request)
        file, rows, _ = pipeline.run(model, request, step)
    return Converted(file.data, rows)
