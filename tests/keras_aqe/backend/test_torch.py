"""The package under the PyTorch backend, where TensorFlow is not installed."""

import pytest

from tests.keras_aqe.backend import children


@pytest.mark.slow
def test_core():
    children.run_core("torch", "not slow")


@pytest.mark.long  # minutes of compiling and training
def test_the_slow_part_of_the_core():
    children.run_core("torch", "slow")


@pytest.mark.program
def test_training_is_that_of_tensorflow(trained):
    children.compare_training("torch", trained)


@pytest.mark.program
def test_conversion():
    children.convert_under("torch")
