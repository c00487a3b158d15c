"""The interpreter that runs a file of builtin operators."""

import contextlib

from keras_aqe.converters.errors import ConversionError


class LiteRT:
    """LiteRT's interpreter, for batches of any size.

    Args:
        data: The file as bytes.
        num_threads: Number of threads.
        profile: Whether each operator is timed, which LiteRT cannot.
        delegates: What runs operators in LiteRT's place.

    Raises:
        ConversionError: If LiteRT refuses the file.
    """

    def __init__(self, data, num_threads, profile=False, delegates=None):
        from ai_edge_litert.interpreter import Interpreter

        with refusals("LiteRT"):
            self._litert = Interpreter(
                model_content=data,
                num_threads=num_threads,
                experimental_delegates=delegates,
            )

    def predict(self, inputs):
        """Runs the file.

        Args:
            inputs: An array for each input, of its type.

        Returns:
            A list of an array for each output.

        Raises:
            ConversionError: If LiteRT refuses the file or the inputs' shapes.
        """
        with refusals("LiteRT"):
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

    def profile(self):
        """What `keras_aqe.runtime.profile` says of the operators it runs."""
        return []


@contextlib.contextmanager
def refusals(engine):
    """Raises `ConversionError` for what an engine says of a file.

    Args:
        engine: Its name.
    """
    try:
        yield
    except (MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ConversionError(f"{engine} refuses the file: {error}") from error
