"""A bar where one is asked for, and silence elsewhere."""

import pytest

from keras_aqe import progress


@pytest.mark.parametrize("total", [None, 3])
def test_the_bar_is_on_standard_error(total, capsys):
    with progress.bar("sorting", 1, total) as step:
        step("one half")
        step(2)
    printed = capsys.readouterr()
    assert not printed.out and "sorting: one half" in printed.err
    if total:
        assert "100%" in printed.err
    with progress.bar("sorting", 0, total) as step:
        step("one half")
        step(2)
    printed = capsys.readouterr()
    assert not printed.out and not printed.err
