"""Schedules of alpha: functions of the training progress in [0, 1]."""

import math
from collections.abc import Sequence
from typing import Any, Self

import keras

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "Linear",
    "Piecewise",
    "Schedule",
]


class Schedule:
    """Base class: a function from progress in [0, 1] to alpha in (0, 1].

    A subclass gives `__call__`, and is saved by the attributes that it sets.

    Example:

    ```pycon
    >>> class Square(Schedule):
    ...     def __call__(self, progress: float) -> float:
    ...         return max(progress, 0.1) ** 2
    >>> Square()(0.5)
    0.25

    ```
    """

    def __call__(self, progress: float) -> float:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments of the schedule, `{name: value}`."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The schedule of what `get_config` returned.

        Args:
            config: A dictionary.
        """
        return cls(**config)


class _Ramp(Schedule):
    """From `start` to `end` while progress goes from 0 to `until`."""

    def __init__(
        self, start: float = 0.5, end: float = 1.0, until: float = 0.85
    ) -> None:
        self.start = check_alpha(start, "start")
        self.end = check_alpha(end, "end")
        if not 0 < until <= 1:
            raise ValueError(
                f"`until` must be in (0, 1]. Received: until={until}"
            )
        self.until = until

    def __call__(self, progress: float) -> float:
        # end is hit exactly, so that a finished run is a hard network
        if progress >= self.until:
            return self.end
        return self._between(progress / self.until)

    def _between(self, part: float) -> float:
        raise NotImplementedError


@keras.saving.register_keras_serializable("keras_aqe")
class Constant(Schedule):
    """`alpha = value` throughout.

    Args:
        value: Float in (0, 1].

    Raises:
        ValueError: If `value` is out of range.

    Example:

    ```pycon
    >>> Constant(0.5)(0.9)
    0.5

    ```
    """

    def __init__(self, value: float) -> None:
        self.value = check_alpha(value, "value")

    def __call__(self, progress: float) -> float:
        return self.value


@keras.saving.register_keras_serializable("keras_aqe")
class Linear(_Ramp):
    """`alpha = start + (end - start) * progress / until`, then `end`.

    The default is the rise that Chen et al., 2020, Fig. 1 to 4 show (1/2 at
    the start, about linear), reaching 1 at 85 % of the run so that the
    statistics of batch normalisation settle on the hard network.

    Args:
        start: Alpha at progress 0, in (0, 1].
        end: Alpha from progress `until` on, in (0, 1].
        until: Progress at which `end` is reached, in (0, 1].

    Raises:
        ValueError: If one of them is out of its range.

    Example:

    ```pycon
    >>> Linear()(0.425), Linear()(0.9)
    (0.75, 1.0)

    ```
    """

    def _between(self, part: float) -> float:
        return self.start + (self.end - self.start) * part


@keras.saving.register_keras_serializable("keras_aqe")
class Cosine(_Ramp):
    """`alpha = end + (start - end) * (1 + cos(pi * progress / until)) / 2`.

    Args:
        start: Alpha at progress 0, in (0, 1].
        end: Alpha from progress `until` on, in (0, 1].
        until: Progress at which `end` is reached, in (0, 1].

    Raises:
        ValueError: If one of them is out of its range.

    Example:

    ```pycon
    >>> round(Cosine(until=1.0)(0.5), 6)
    0.75

    ```
    """

    def _between(self, part: float) -> float:
        weight = (1 + math.cos(math.pi * part)) / 2
        return self.end + (self.start - self.end) * weight


@keras.saving.register_keras_serializable("keras_aqe")
class Exponential(_Ramp):
    """`alpha = start * (end / start)^(progress / until)`, then `end`.

    Args:
        start: Alpha at progress 0, in (0, 1].
        end: Alpha from progress `until` on, in (0, 1].
        until: Progress at which `end` is reached, in (0, 1].

    Raises:
        ValueError: If one of them is out of its range.

    Example:

    ```pycon
    >>> round(Exponential(start=0.25, until=1.0)(0.5), 6)
    0.5

    ```
    """

    def _between(self, part: float) -> float:
        return self.start * (self.end / self.start) ** part


@keras.saving.register_keras_serializable("keras_aqe")
class Piecewise(Schedule):
    """`values[i]` from progress `boundaries[i - 1]` to `boundaries[i]`.

    Args:
        boundaries: Ascending floats in (0, 1).
        values: Floats in (0, 1], one more than `boundaries`.

    Raises:
        ValueError: If they do not fit the above.

    Example:

    ```pycon
    >>> Piecewise([0.5], [0.5, 1.0])(0.7)
    1.0

    ```
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float]
    ) -> None:
        self.boundaries = [float(boundary) for boundary in boundaries]
        self.values = [check_alpha(value, "values") for value in values]
        edges = [0.0, *self.boundaries, 1.0]
        if any(low >= high for low, high in zip(edges, edges[1:])):
            raise ValueError(
                "`boundaries` must ascend inside (0, 1). "
                f"Received: boundaries={boundaries}"
            )
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "`values` must have one more entry than `boundaries`. "
                f"Received: values={values}, boundaries={boundaries}"
            )

    def __call__(self, progress: float) -> float:
        passed = sum(progress >= boundary for boundary in self.boundaries)
        return self.values[passed]


def check_alpha(alpha: float, name: str) -> float:
    """Returns `alpha` as a float; raises `ValueError` outside (0, 1]."""
    if not 0 < alpha <= 1:
        raise ValueError(
            f"`{name}` must be in (0, 1]: alpha = 0 would make every gradient "
            f"zero, and above 1 is no blend. Received: {name}={alpha}"
        )
    return float(alpha)
