"""The package under the JAX backend, where TensorFlow is not installed."""

import pytest

from tests.keras_aqe.backend import children


@pytest.mark.slow
def test_core():
    children.run_core("jax", "not slow")


@pytest.mark.long  # minutes of compiling and training
def test_the_slow_part_of_the_core():
    children.run_core("jax", "slow")


@pytest.mark.program
def test_training_is_that_of_tensorflow(trained):
    children.compare_training("jax", trained)


@pytest.mark.program
def test_conversion():
    children.convert_under("jax")
