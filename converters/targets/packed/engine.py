"""What runs packed files: LiteRT with our delegate."""

from keras_aqe import runtime
from keras_aqe.converters.errors import EngineMissingError
from keras_aqe.converters.targets.engine import LiteRT


class Packed(LiteRT):
    """LiteRT's interpreter with the delegate of `keras_aqe.runtime`.

    Args:
        data: The file as bytes.
        num_threads: Number of threads.
        profile: Whether each operator is timed.

    Raises:
        ConversionError: If it refuses the file; an `EngineMissingError` if
            the runtime was not built.
    """

    def __init__(self, data, num_threads, profile=False):
        try:
            self._delegate = runtime.load_delegate(num_threads, profile)
        except RuntimeError as error:
            raise EngineMissingError(
                f"This is a packed file. {error}"
            ) from error
        super().__init__(data, num_threads, delegates=[self._delegate])

    def profile(self):
        return runtime.profile(self._delegate)
