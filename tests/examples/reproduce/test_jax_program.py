"""Compiled steps, recalibration and tests, against those of Keras."""

import pytest

pytestmark = pytest.mark.program


def test_steps_are_those_of_fit(trained_on_jax):
    _, results = trained_on_jax
    assert results["against_fit"]["differences"]["weights"] < 1e-4
    assert results["against_fit"]["differences"]["statistics"] < 1e-3


def test_compiled_loops_do_what_calls_do(trained_on_jax):
    _, results = trained_on_jax
    assert results["in_loops"]["differences"] < 1e-4
    loops, calls = results["in_loops"]["losses"]
    assert loops == pytest.approx(calls, rel=1e-4)


def test_accuracies_are_those_of_evaluate(trained_on_jax):
    _, results = trained_on_jax
    accuracies = results["against_fit"]["accuracies"]
    assert len(accuracies) == 4
    for mine, theirs in accuracies.values():
        assert mine == theirs


# Each setting is a run, and some are compiled anew.
@pytest.mark.long
def test_settings_change_what_they_say(on_jax, tmp_path):
    results = on_jax(tmp_path, "augmented", "settings")
    augmented = results["augmented"]
    # Each image is one crop of its own, and they differ.
    assert len(augmented["kinds"]) == augmented["images"]
    losses = results["settings"]["losses"]
    # STE is the hard forward pass with the factor 1.
    assert losses["hard"] == losses["ste"]
    assert losses["recalibrated"] == losses["plain"]
    for name in losses.keys() - {"plain", "recalibrated"}:
        assert losses[name] != losses["plain"]
    # With a teacher and without one; no other setting compiles anything.
    assert results["settings"]["compiled"] == 2
