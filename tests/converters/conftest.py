"""Files that several modules here look at."""

import pytest

from keras_aqe.converters import convert
from tests.converters.networks import TARGETS
from tests.converters.two_inputs import two_inputs


@pytest.fixture(scope="session", params=TARGETS)
def converted(request):
    """`two_inputs` for each target."""
    return convert(two_inputs(), request.param)
