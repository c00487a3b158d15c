"""The table of targets: what it says of files that each of them wrote."""

import keras
import pytest

from keras_aqe import layers
from keras_aqe.converters import ConversionError, convert
from keras_aqe.converters.targets import TARGETS, target_of
from keras_aqe_runtime.file import flatbuffer


@pytest.fixture(scope="module")
def files():
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.QuantDense(
                4, input_quantizer="binary", kernel_quantizer="binary"
            ),
        ]
    )
    return {
        name: flatbuffer.read(convert(model, name).flatbuffer)
        for name in TARGETS
    }


def test_targets_know_their_files(files):
    for name, file in files.items():
        assert target_of(file) is TARGETS[name]


def test_refuses_operators_of_two_targets(files):
    packed = files["packed"]
    (code, *_) = [
        code for code in files["lce"].operatorCodes if code.customCode
    ]
    packed.operatorCodes.append(code)
    packed.subgraphs[0].operators[-1].opcodeIndex = (
        len(packed.operatorCodes) - 1
    )
    with pytest.raises(ConversionError, match="packed and lce"):
        target_of(packed)
