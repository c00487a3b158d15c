from __future__ import annotations

import contextlib
import importlib.util
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_aqe.converters.errors import ConversionError, EngineMissingError
from keras_aqe.converters.file import bounds, flatbuffer, loops, operators
from keras_aqe.converters.load import load
from keras_aqe.converters.signature import Signature
from keras_aqe.converters.targets import TARGETS

if TYPE_CHECKING:
    from keras_aqe.converters.convert import Converted

_numpy_major = int(np.__version__.split(".")[0])


class Interpreter:
    """Runs a .tflite file, whichever target it was converted for.

    Files with Larq Compute Engine's operators run in its interpreter, others
    in LiteRT, packed ones with the delegate of `keras_aqe.runtime`.

    Args:
        flatbuffer: The file: its path, its bytes, or what `convert`
            returned.
        num_threads: Number of threads.

    Attributes:
        input_names: Names of the inputs, those of the Keras model where
            `convert` wrote the file.
        output_names: Names of the outputs, likewise.

    Raises:
        ConversionError: If it is no .tflite file or a damaged one, or needs
            an engine that is not installed (an `EngineMissingError`).
        ValueError: If `num_threads` is no positive integer.

    Example:

    ```python
    import numpy as np
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model, target="tflite")
    images = np.zeros((2, 32, 32, 3), "float32")
    logits = converters.Interpreter(converted).predict(images)
    ```
    """

    def __init__(
        self,
        flatbuffer: str | os.PathLike[str] | bytes | Converted,
        num_threads: int = 1,
    ) -> None:
        if not isinstance(num_threads, int) or num_threads < 1:
            raise ValueError(
                "`num_threads` must be an integer of at least 1. Received: "
                f"num_threads={num_threads!r}"
            )
        file = load(flatbuffer)
        custom = [target for target in TARGETS.values() if target.prefix]
        operators.check(file.model, [target.prefix for target in custom])
        for target in custom:
            target.check(file.model)
        loops.check(file.model)
        bounds.check(file.model)
        self._signature = Signature(file)
        self.input_names = self._signature.input_names
        self.output_names = self._signature.output_names
        self._engine = _engine(file, num_threads)

    def predict(self, x: Any) -> Any:
        """Outputs for a batch of any number of examples.

        Args:
            x: Arrays with the batch first, in the structure of the model's
                inputs: an array, a list or a dictionary; a dictionary may
                always go by `input_names`. Floats are rounded to an input's
                type; values that an integer type cannot hold are an error.

        Returns:
            Arrays with the batch first, in the structure of the model's
            outputs and of the types in the file.

        Raises:
            ValueError: If the arrays' names, number, shapes or types do not
                fit the file.
            ConversionError: If the engine refuses the file, or its inputs'
                size.
        """
        arrays = self._signature.arrays(x)
        step = self._signature.batch
        if step is None:
            return self._signature.group(self._engine.predict(arrays))
        # A file may be for a fixed number of examples, as `target="lce"`
        # makes them for one. None at all takes the shapes of one.
        size = len(arrays[0])
        step = max(size, 1) if step == -1 else step
        runs = [
            self._engine.predict(
                [_filled(array[start : start + step], step) for array in arrays]
            )
            for start in range(0, max(size, 1), step)
        ]
        kept = size if size < step * len(runs) else None
        outputs = [_joined(parts)[:kept] for parts in zip(*runs)]
        return self._signature.group(outputs)

    def try_out(self) -> None:
        """Runs one example of no meaning, so that the engine checks the file.

        Raises:
            ConversionError: If the engine refuses it.
        """
        try:
            self._engine.predict(self._signature.example(0))
        except ConversionError:
            # An operator may refuse a number, as a division does 0.
            self._engine.predict(self._signature.example(1))


def _filled(array, size):
    missing = size - len(array)
    if not missing:
        return array
    return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))


def _joined(parts):
    """The examples of an output from all runs."""
    if len({part.shape[1:] for part in parts}) > 1 or parts[0].ndim == 0:
        raise ConversionError(
            "The file's outputs are no arrays with the examples first: one "
            f"has the shapes {[part.shape for part in parts[:3]]}."
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _engine(file, num_threads):
    names = flatbuffer.operator_names(file.model)
    if any(name.startswith("Lce") for name in names):
        return _LceEngine(file.data, num_threads)
    packed = any(name.startswith("Aqe") for name in names)
    return _LiteRTEngine(file.data, num_threads, packed)


@contextlib.contextmanager
def _refusals(engine):
    """Raises `ConversionError` for what an engine says of a file."""
    try:
        yield
    except (MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ConversionError(f"{engine} refuses the file: {error}") from error


class _LiteRTEngine:
    def __init__(self, data, num_threads, packed):
        from ai_edge_litert.interpreter import Interpreter as LiteRT

        delegates = [_load_delegate(num_threads)] if packed else None
        with _refusals("LiteRT"):
            self._litert = LiteRT(
                model_content=data,
                num_threads=num_threads,
                experimental_delegates=delegates,
            )
            details = self._litert.get_input_details()
            self.input_shapes = [detail["shape"] for detail in details]

    def predict(self, inputs):
        with _refusals("LiteRT"):
            # Their shapes are those of the last run.
            details = self._litert.get_input_details()
            for detail, value in zip(details, inputs):
                if tuple(detail["shape"]) != value.shape:
                    self._litert.resize_tensor_input(
                        detail["index"], value.shape
                    )
            self._litert.allocate_tensors()
            for detail, value in zip(details, inputs):
                self._litert.set_tensor(detail["index"], value)
            self._litert.invoke()
            return [
                self._litert.get_tensor(detail["index"])
                for detail in self._litert.get_output_details()
            ]


def _load_delegate(num_threads):
    from keras_aqe import runtime

    try:
        return runtime.load_delegate(num_threads)
    except RuntimeError as error:
        raise EngineMissingError(f"This is a packed file. {error}") from error


class _LceEngine:
    def __init__(self, data, num_threads):
        _require_lce()
        from ai_edge_litert.interpreter import Interpreter as LiteRT
        from larq_compute_engine.tflite.python.interpreter import (
            Interpreter as Larq,
        )

        with _refusals("LiteRT"):
            # Refused where an offset of the file leads out of it, which LCE's
            # interpreter follows.
            LiteRT(model_content=data)
        with _refusals("Larq Compute Engine"):
            # Five times as fast as LCE's default kernel on x86.
            self._larq = Larq(
                data, num_threads=num_threads, use_indirect_bgemm=True
            )
            self.input_shapes = self._larq.input_shapes

    def predict(self, inputs):
        with _refusals("Larq Compute Engine"):
            return self._larq.interpreter.predict(inputs)


def _require_lce():
    """Raises `EngineMissingError` if LCE's interpreter cannot be used here."""
    if importlib.util.find_spec("larq_compute_engine") is None:
        raise EngineMissingError(
            "The file needs Larq Compute Engine's interpreter, which is not "
            "installed. Install it with `pip install 'keras-aqe[lce]'`."
        )
    if _numpy_major >= 2:
        raise EngineMissingError(
            "Larq Compute Engine needs NumPy below 2: its interpreter was "
            f"built against NumPy 1. Installed is NumPy {np.__version__}. "
            "Install a fitting one with `pip install 'keras-aqe[lce]'`."
        )
