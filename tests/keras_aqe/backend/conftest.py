"""What several backends are compared with."""

import pytest

from tests.keras_aqe.backend import training


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of training under TensorFlow."""
    folder = tmp_path_factory.mktemp("training")
    training.make(folder)
    training.train(folder, "tensorflow")
    return folder
