"""What LiteRT refuses."""

import numpy as np
import pytest

from keras_aqe.converters import ConversionError
from keras_aqe.converters.targets.engine import LiteRT


def test_refusals_are_conversion_errors():
    with pytest.raises(ConversionError, match="LiteRT refuses the file"):
        LiteRT(b"no file", num_threads=1)


@pytest.mark.parametrize("minw_file", ["tflite"], indirect=True)
def test_a_refused_size_does_not_spoil_the_next_run(minw_file):
    engine = LiteRT(minw_file.flatbuffer, num_threads=1)
    with pytest.raises(ConversionError, match="LiteRT refuses the file"):
        engine.predict([np.zeros((1, 3, 3, 3), "float32")])
    (logits,) = engine.predict([np.zeros((2, 32, 32, 3), "float32")])
    assert logits.shape == (2, 10)
