"""The digits that comparisons are made on."""

import numpy as np

from examples.reproduce.on_digits import digits


def test_digits_are_split_by_class():
    x, x_test, y, y_test = digits()
    assert x.shape[1:] == x_test.shape[1:] == (16, 16, 1)
    assert len(x) + len(x_test) == 1797
    assert np.abs(x).max() <= 1
    share = np.bincount(y_test) / (np.bincount(y) + np.bincount(y_test))
    np.testing.assert_allclose(share, 0.2, atol=0.01)
