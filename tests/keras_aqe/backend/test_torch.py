"""The package under the PyTorch backend, where TensorFlow is not installed."""

import pytest

from tests.keras_aqe.backend import children


@pytest.mark.slow
def test_core():
    children.run_core("torch")


def test_importing_imports_no_tensorflow():
    children.run(
        "torch",
        "-c",
        "import sys, keras_aqe; assert 'tensorflow' not in sys.modules",
    )
