"""What tests of runs on JAX share: one process that trains them."""

import json

import pytest

from tests.keras_aqe.backend import children

MODULE = "tests.examples.reproduce.on_jax"


@pytest.fixture(scope="session")
def on_jax():
    """A function that calls functions of `on_jax.py` with a folder."""

    def call(folder, *names):
        lines = children.run("jax", "-m", MODULE, folder, *names).splitlines()
        return json.loads(lines[-1])

    return call


@pytest.fixture(scope="session")
def trained_on_jax(on_jax, tmp_path_factory):
    """The folder of finished runs, and what was seen of them."""
    folder = tmp_path_factory.mktemp("jax")
    return folder, on_jax(folder, "stopped", "in_loops", "against_fit")
