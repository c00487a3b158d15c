"""The package under the PyTorch backend, where TensorFlow is not installed."""

import pytest

from tests.keras_aqe.backend import children


@pytest.mark.slow
def test_core():
    children.run_core("torch")


@pytest.mark.slow
def test_training_is_that_of_tensorflow(trained):
    children.compare_training("torch", trained)


@pytest.mark.slow
def test_conversion():
    children.convert_under("torch")


def test_importing_imports_no_tensorflow():
    children.run(
        "torch",
        "-c",
        "import sys, keras_aqe; assert 'tensorflow' not in sys.modules",
    )


def test_converters_say_that_tensorflow_is_missing():
    program = "from keras_aqe import converters; converters.convert"
    with pytest.raises(AssertionError, match="ConversionError: .*needs"):
        children.run("torch", "-c", program)
