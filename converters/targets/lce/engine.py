"""What runs files of Larq Compute Engine: its own interpreter."""

import importlib.util

import numpy as np

from keras_aqe_runtime.engines import LiteRT, refusals
from keras_aqe_runtime.errors import EngineMissingError

_numpy_major = int(np.__version__.split(".")[0])


class Larq:
    """LCE's interpreter, which takes one batch size.

    Args:
        file: A `load.File`.
        num_threads: Number of threads.
        profile: Whether each operator is timed, which LCE cannot.

    Raises:
        ConversionError: If it refuses the file; an `EngineMissingError` if it
            cannot be used here.
    """

    def __init__(self, file, num_threads, profile=False):
        _require_lce()
        from larq_compute_engine.tflite.python.interpreter import Interpreter

        # Refuses files in which an offset leads out of them, which LCE's
        # interpreter follows.
        LiteRT(file, num_threads=1)
        with refusals("Larq Compute Engine"):
            # Five times as fast as LCE's default kernel on x86.
            self._larq = Interpreter(
                file.data, num_threads=num_threads, use_indirect_bgemm=True
            )

    def predict(self, inputs):
        """As `LiteRT.predict`."""
        with refusals("Larq Compute Engine"):
            return self._larq.interpreter.predict(inputs)

    def profile(self):
        """As `LiteRT.profile`."""
        return []


def _require_lce():
    """Raises `EngineMissingError` if LCE's interpreter cannot be used here."""
    if importlib.util.find_spec("larq_compute_engine") is None:
        raise EngineMissingError(
            "The file needs Larq Compute Engine's interpreter, which is not "
            "installed. Install it with `pip install 'keras-aqe[lce]'`, in "
            "Python 3.11 or 3.12: it has no wheels for later ones."
        )
    if _numpy_major >= 2:
        raise EngineMissingError(
            "Larq Compute Engine needs NumPy below 2: its interpreter was "
            f"built against NumPy 1. Installed is NumPy {np.__version__}. "
            "Install a fitting one with `pip install 'keras-aqe[lce]'`."
        )
