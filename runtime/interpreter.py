import os
from typing import Any

import numpy as np

from keras_aqe_runtime.engines import KINDS, kind_of
from keras_aqe_runtime.errors import ConversionError
from keras_aqe_runtime.file import bounds, loops, operators
from keras_aqe_runtime.load import Converted, load, naming
from keras_aqe_runtime.signature import Signature


class Interpreter:
    """Runs a packed file, or one of builtin operators, without TensorFlow.

    The engine is LiteRT, for packed files with the delegate of
    `load_delegate`.

    Args:
        flatbuffer: The file: its path, its bytes, or what `convert`
            returned.
        num_threads: Number of threads.
        profile: Whether the operators of packed files are timed.

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
    converters.convert(model).save("model.tflite")

    # On the device:
    from keras_aqe_runtime import Interpreter

    interpreter = Interpreter("model.tflite", num_threads=2)
    logits = interpreter.predict(np.zeros((1, 32, 32, 3), "float32"))
    ```
    """

    # The kinds of files that it runs; a subclass may have others.
    kinds = KINDS

    def __init__(
        self,
        flatbuffer: str | os.PathLike[str] | bytes | Converted,
        num_threads: int = 1,
        profile: bool = False,
    ) -> None:
        if not isinstance(num_threads, int) or num_threads < 1:
            raise ValueError(
                "`num_threads` must be an integer of at least 1. Received: "
                f"num_threads={num_threads!r}"
            )
        file = load(flatbuffer)
        custom = [kind for kind in self.kinds if kind.prefix]
        with naming(flatbuffer):
            operators.check(file.model, [kind.prefix for kind in custom])
            for kind in custom:
                kind.check(file.model)
            loops.check(file.model)
            bounds.check(file.model)
        self._signature = Signature(file)
        self.input_names = self._signature.input_names
        self.output_names = self._signature.output_names
        self._engine = kind_of(file.model, self.kinds).engine(
            file, num_threads, profile
        )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {self._signature.described()}, to "
            f"{', '.join(map(repr, self.output_names))}>"
        )

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

    def profile(self) -> list[dict[str, Any]]:
        """What the operators of a packed file run as, after `predict`.

        Returns:
            What `keras_aqe_runtime.profile` does; of other files, an empty
            list.
        """
        return self._engine.profile()

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
