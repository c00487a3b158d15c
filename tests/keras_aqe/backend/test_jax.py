"""The package under the JAX backend, where TensorFlow is not installed."""

import pytest

from tests.keras_aqe.backend import children


@pytest.mark.slow
def test_core():
    children.run_core("jax")


def test_importing_imports_no_tensorflow():
    children.run(
        "jax",
        "-c",
        "import sys, keras_aqe; assert 'tensorflow' not in sys.modules",
    )
