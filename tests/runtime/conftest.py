import pytest

from keras_aqe import runtime


def pytest_collection_modifyitems(items):
    """Without the library, which needs a compiler, there is nothing to run."""
    try:
        runtime.library_path()
    except RuntimeError as error:
        for item in items:
            if "tests/runtime" in str(item.path):
                item.add_marker(pytest.mark.skip(reason=str(error)))
