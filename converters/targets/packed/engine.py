"""What runs packed files: LiteRT with our delegate."""

from keras_aqe import runtime
from keras_aqe.converters.errors import EngineMissingError
from keras_aqe.converters.targets.engine import LiteRT


def engine(data, num_threads):
    """The `LiteRT` of a file.

    Raises:
        ConversionError: If it refuses the file; an `EngineMissingError` if
            the runtime was not built.
    """
    try:
        delegate = runtime.load_delegate(num_threads)
    except RuntimeError as error:
        raise EngineMissingError(f"This is a packed file. {error}") from error
    return LiteRT(data, num_threads, [delegate])
