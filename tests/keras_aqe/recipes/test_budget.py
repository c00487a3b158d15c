"""Against all combinations."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_aqe.recipes.budget import choose


@st.composite
def problems(draw):
    options = draw(st.integers(1, 3))
    count = draw(st.integers(1, 4))
    numbers = st.lists(st.integers(0, 30), min_size=options, max_size=options)
    losses = draw(st.lists(numbers, min_size=count, max_size=count))
    costs = draw(st.lists(numbers, min_size=count, max_size=count))
    least = sum(map(min, costs))
    return losses, costs, least + draw(st.integers(0, 40))


@given(problem=problems())
def test_is_the_best_of_all_combinations(problem):
    losses, costs, budget = problem

    def total(numbers, chosen):
        return sum(row[n] for row, n in zip(numbers, chosen))

    best = min(
        (total(losses, chosen), total(costs, chosen))
        for chosen in itertools.product(*(range(len(row)) for row in costs))
        if total(costs, chosen) <= budget
    )
    chosen = choose(losses, costs, budget)
    assert (total(losses, chosen), total(costs, chosen)) == best


def test_large_budgets_are_kept():
    rng = np.random.default_rng(0)
    losses = rng.uniform(size=(20, 3)).tolist()
    costs = rng.integers(1, 10**9, (20, 3)).tolist()
    budget = 6 * 10**9
    chosen = choose(losses, costs, budget)
    assert sum(row[n] for row, n in zip(costs, chosen)) <= budget


def test_a_budget_that_is_too_small():
    with pytest.raises(ValueError, match="budget of 5 .*cost 7"):
        choose([[1.0], [1.0]], [[3], [4]], 5)
