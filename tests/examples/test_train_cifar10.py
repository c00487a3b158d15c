"""The example trains, and writes a file that agrees with its network."""

import numpy as np
import pytest

from examples import train_cifar10
from keras_aqe.converters import Interpreter


@pytest.mark.program
@pytest.mark.parametrize(
    "bits", ["1", pytest.param("3", marks=pytest.mark.long)]
)
def test_writes_a_file(noise, bits, tmp_path, capsys):
    path = tmp_path / "model.tflite"
    train_cifar10.main(
        [
            *("--train-images", "32", "--batch-size", "8", "--epochs", "3"),
            *("--filters", "4", "--output", str(path)),
            *("--input-bits", bits, "--weight-bits", bits),
        ]
    )
    printed = capsys.readouterr().out
    assert "test accuracy" in printed and "codes equal" in printed
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
    assert Interpreter(path).predict(images).shape == (2, 10)
