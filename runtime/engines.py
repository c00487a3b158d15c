"""What runs files, and which file is run by what."""

import contextlib
import dataclasses
from collections.abc import Callable

from keras_aqe_runtime import library
from keras_aqe_runtime.errors import (
    ConversionError,
    DamagedError,
    EngineMissingError,
)
from keras_aqe_runtime.file import flatbuffer


class LiteRT:
    """LiteRT's interpreter, for batches of any size.

    Args:
        file: A `load.File`.
        num_threads: Number of threads.
        profile: Whether each operator is timed, which LiteRT cannot.
        delegates: What runs operators in LiteRT's place.

    Raises:
        ConversionError: If LiteRT refuses the file.
    """

    def __init__(self, file, num_threads, profile=False, delegates=None):
        from ai_edge_litert.interpreter import Interpreter

        with refusals("LiteRT"):
            self._litert = Interpreter(
                model_content=file.data,
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
        """What `keras_aqe_runtime.profile` says of the operators it runs."""
        return []


class Packed(LiteRT):
    """LiteRT's interpreter with the delegate of `keras_aqe_runtime`.

    Args:
        file: A `load.File`.
        num_threads: Number of threads.
        profile: Whether each operator is timed.

    Raises:
        ConversionError: If it refuses the file; an `EngineMissingError` if
            the runtime was not built.
    """

    def __init__(self, file, num_threads, profile=False):
        try:
            self._delegate = library.load_delegate(num_threads, profile)
        except RuntimeError as error:
            raise EngineMissingError(
                f"This is a packed file. {error}"
            ) from error
        names = {
            name
            for graph in file.model.subgraphs
            for name in flatbuffer.operator_names(file.model, graph)
        }
        # XNNPACK's threads wait for work without a pause, beside ours.
        super().__init__(
            file,
            1 if flatbuffer.PRODUCTS.isdisjoint(names) else num_threads,
            delegates=[self._delegate],
        )

    def profile(self):
        return library.profile(self._delegate)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: The target that such files are converted for.
        prefix: What the names of its custom operators begin with; empty for
            files that have none.
        engine: Function from a `load.File`, a number of threads and whether to
            time each operator to what runs it: a `LiteRT`, or what has its
            methods.
        check: Function that raises `ConversionError` if a custom operator of
            a parsed file is not as it should be.
    """

    name: str
    prefix: str
    engine: Callable
    check: Callable = lambda model: None


def _larq(file, num_threads, profile):
    raise EngineMissingError(
        "The file needs Larq Compute Engine's interpreter. Where it is "
        "installed (`pip install 'keras-aqe[lce]'`), "
        "`keras_aqe.converters.Interpreter` runs the file."
    )


# Without TensorFlow. The operators of packed files are the library's to check.
KINDS = (
    Kind("packed", "Aqe", Packed),
    Kind("lce", "Lce", _larq),
    Kind("tflite", "", LiteRT),
)


def kind_of(model, kinds):
    """The kind of a file, going by its custom operators.

    Args:
        model: A parsed file, from wherever it comes.
        kinds: All `Kind`s there are, or what has their fields.

    Returns:
        One of them; that of builtin operators if there are no others.

    Raises:
        ConversionError: If it has operators of several kinds.
    """
    names = flatbuffer.operator_names(model)
    found = [
        kind
        for kind in kinds
        if kind.prefix and any(n.startswith(kind.prefix) for n in names)
    ]
    if len(found) > 1:
        targets = " and ".join(kind.name for kind in found)
        raise DamagedError(f"it has operators of the targets {targets}")
    return found[0] if found else next(k for k in kinds if not k.prefix)


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
