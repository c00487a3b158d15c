"""One choice for each item, at the least loss that a budget allows."""

from collections.abc import Sequence

import numpy as np

# Costs are rounded up to so many-th parts of a budget.
_PARTS = 100_000


def choose(
    losses: Sequence[Sequence[float]],
    costs: Sequence[Sequence[int]],
    budget: int,
) -> list[int]:
    """Picks one option of each item so that the sum of losses is least.

    The multiple-choice knapsack problem, solved by dynamic programming over
    what is left of the budget: exact for budgets up to 100,000, and for larger
    ones with costs rounded up to a 100,000th of it. Of choices with equal
    losses the cheaper one is taken.

    Args:
        losses: For each item the loss of each of its options.
        costs: The same for costs, whole numbers from 0.
        budget: What the costs may add up to.

    Returns:
        The index of the option that is chosen, for each item.

    Raises:
        ValueError: If the cheapest options cost more than the budget.

    Example:

    ```pycon
    >>> choose([[5.0, 1.0], [4.0, 3.0]], [[1, 2], [1, 2]], budget=3)
    [1, 0]

    ```
    """
    unit = max(1, -(-budget // _PARTS))
    units = [[-(-cost // unit) for cost in options] for options in costs]
    room = budget // unit
    least = sum(map(min, costs))
    if sum(map(min, units)) > room:
        raise ValueError(
            f"The budget of {budget:,} is too small: the cheapest options "
            f"cost {least:,}."
        )
    # best[c] is the least loss of the items so far at a cost of exactly c.
    best = np.full(room + 1, np.inf)
    best[0] = 0.0
    picks = []
    for loss, cost in zip(losses, units, strict=True):
        reached = np.full((len(loss), room + 1), np.inf)
        for option, (more, price) in enumerate(zip(loss, cost, strict=True)):
            if price <= room:
                reached[option, price:] = best[: room + 1 - price] + more
        picks.append(reached.argmin(axis=0))
        best = reached.min(axis=0)
    chosen: list[int] = []
    # The first of the least losses is the cheapest.
    left = int(best.argmin())
    for pick, cost in zip(reversed(picks), reversed(units)):
        option = int(pick[left])
        chosen.insert(0, option)
        left -= cost[option]
    return chosen
