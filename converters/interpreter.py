import importlib.util

import numpy as np

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.file import bounds, metadata
from keras_aqe.converters.file import flatbuffer as fb
from keras_aqe.converters.targets.lce import operators as lce_ops

_numpy_major = int(np.__version__.split(".")[0])


class Interpreter:
    """Runs a .tflite file, whichever target it was converted for.

    Files with Larq Compute Engine's operators run in its interpreter, others
    in LiteRT, packed ones with the delegate of `keras_aqe.runtime`.

    Args:
        flatbuffer: The file as bytes.
        num_threads: Number of threads.

    Raises:
        ConversionError: If the bytes are no .tflite file or a damaged one,
            or need an engine that is not installed.

    Example:

    ```python
    logits = Interpreter(converted.flatbuffer).predict(images)
    ```
    """

    def __init__(self, flatbuffer, num_threads=1):
        model = fb.read(flatbuffer)
        metadata.check(model)
        lce_ops.check(model)
        bounds.check(model)
        names = fb.operator_names(model)
        if any(name.startswith("Lce") for name in names):
            self._engine = _LceEngine(flatbuffer, num_threads)
        else:
            packed = any(name.startswith("Aqe") for name in names)
            self._engine = _LiteRTEngine(flatbuffer, num_threads, packed)

    def predict(self, x):
        """Outputs for a batch.

        Args:
            x: An array with the batch first, or a list of one for each input.

        Returns:
            An array with the batch first, or a list where the model has
            several outputs.

        Raises:
            ValueError: If the arrays' number or shapes do not fit the file.
        """
        inputs = list(x) if isinstance(x, (list, tuple)) else [x]
        inputs = [np.asarray(value) for value in inputs]
        shapes = self._engine.input_shapes
        if len(inputs) != len(shapes) or any(
            value.shape[1:] != tuple(shape[1:])
            for value, shape in zip(inputs, shapes)
        ):
            raise ValueError(
                "The file takes inputs of shapes "
                f"{[(None, *map(int, shape[1:])) for shape in shapes]}. "
                f"Received: {[value.shape for value in inputs]}"
            )
        outputs = self._engine.predict(inputs)
        return outputs[0] if len(outputs) == 1 else outputs


class _LiteRTEngine:
    def __init__(self, flatbuffer, num_threads, packed):
        from ai_edge_litert.interpreter import Interpreter as LiteRT

        delegates = [_load_delegate(num_threads)] if packed else None
        self._litert = LiteRT(
            model_content=bytes(flatbuffer),
            num_threads=num_threads,
            experimental_delegates=delegates,
        )
        self._details = self._litert.get_input_details()
        self.input_shapes = [d["shape"] for d in self._details]

    def predict(self, inputs):
        if all(d["shape_signature"][0] == -1 for d in self._details):
            return self._run(inputs)
        # A file for one example at a time, as `target="lce"` makes them.
        runs = [
            self._run([value[i : i + 1] for value in inputs])
            for i in range(len(inputs[0]))
        ]
        return [np.concatenate(values) for values in zip(*runs)]

    def _run(self, inputs):
        for detail, value in zip(self._details, inputs):
            if tuple(detail["shape"]) != value.shape:
                self._litert.resize_tensor_input(detail["index"], value.shape)
        self._litert.allocate_tensors()
        for detail, value in zip(self._details, inputs):
            self._litert.set_tensor(
                detail["index"], value.astype(detail["dtype"])
            )
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
        raise ConversionError(f"This is a packed file. {error}") from error


class _LceEngine:
    def __init__(self, flatbuffer, num_threads):
        _require_lce()
        from ai_edge_litert.interpreter import Interpreter as LiteRT
        from larq_compute_engine.tflite.python.interpreter import (
            Interpreter as Larq,
        )

        # Raises ValueError where an offset of the file leads out of it, which
        # LCE's interpreter follows.
        LiteRT(model_content=bytes(flatbuffer))
        # Five times as fast as LCE's default kernel on x86.
        self._larq = Larq(
            bytes(flatbuffer), num_threads=num_threads, use_indirect_bgemm=True
        )
        self.input_shapes = self._larq.input_shapes

    def predict(self, inputs):
        types = self._larq.input_types
        inputs = [value.astype(t) for value, t in zip(inputs, types)]
        outputs = self._larq.predict(
            inputs[0] if len(inputs) == 1 else inputs, verbose=0
        )
        return outputs if isinstance(outputs, list) else [outputs]


def _require_lce():
    """Raises `ConversionError` if LCE's interpreter cannot be used here."""
    if importlib.util.find_spec("larq_compute_engine") is None:
        raise ConversionError(
            "The file needs Larq Compute Engine's interpreter, which is not "
            "installed. Install it with `pip install 'keras-aqe[lce]'`."
        )
    if _numpy_major >= 2:
        raise ConversionError(
            "Larq Compute Engine needs NumPy below 2: its interpreter was "
            f"built against NumPy 1. Installed is NumPy {np.__version__}. "
            "Install a fitting one with `pip install 'keras-aqe[lce]'`."
        )
