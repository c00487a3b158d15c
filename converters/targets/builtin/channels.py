"""What the thresholds of each channel ask of an int8 operator."""

import dataclasses

import numpy as np

from keras_aqe.converters.targets.builtin import requantization


@dataclasses.dataclass(frozen=True)
class Pattern:
    """How codes come from one rounding.

    Args:
        bins: The rounded number at which each threshold is passed.
        scale: Scale of the rounded number, `None` where it is the code's.
        index_scale: Scale of the number after the next rounding; `None` where
            the rounded number is the code, counted from the first level.
        activation: What limits the rounded number.
    """

    bins: tuple
    scale: float | None = None
    index_scale: float | None = None
    activation: str = "relu_n1_to_1"


# Limited to the range -1 to 1, so that RELU_N1_TO_1 does it: 1 at scale 1, 3 at
# scale 0.3 and 8 at scale 0.132. The thresholds of three bits are 1, 3 and 6
# eighths, so they begin bins of a rounding to eighths. Of the bins' middles
# x = ... -0.5, 0.5, 1.5 ..., 0.44 x rounds to 0, ±1, ±2, ±3 at these
# thresholds, and 1.2 times that rounds to 0, ±1, ±2, ±4.
_PATTERNS = {
    (-1, 1): Pattern((0, 1)),
    (-1, 0, 1): Pattern((0, 1)),
    (-4, -2, -1, 0, 1, 2, 4): Pattern(
        (-6, -3, -1, 1, 3, 6), scale=0.132, index_scale=0.3
    ),
}


def _pattern(levels):
    """The `Pattern` of levels, or `None`."""
    found = _PATTERNS.get(tuple(levels))
    if found is None and (np.diff(levels) == 1).all():
        last = len(levels) - 1
        # RELU6 limits to 6, which is the last number at this scale.
        return Pattern(
            tuple(range(1, last + 1)), scale=6 / last, activation="relu6"
        )
    return found


class Channels:
    """The constants of a `graph.Threshold` on a sum of integers.

    Args:
        node: The `graph.Threshold`.
        signs: ±1 for each channel, to go into the kernel.
        turned: ±1 for each channel: whether the codes are mirrored afterwards
            (see `mirror`).
        limits: Largest magnitudes that the kernel's elements may have, by
            preference: the first by which all channels are exact counts.

    Attributes:
        kernel: The sum's kernel times `signs`.
        thresholds: Integers `(levels - 1, channels)`.
        levels: Codes `(levels, channels)`, ascending.
        mirror: The sum of a code and its mirror image, 0 where levels are
            symmetric.
        pattern: The `Pattern` of these levels, or `None`.
        requantization: The `Requantization` for the pattern.
        exact: Whether a channel is computed by it.
    """

    def __init__(self, node, signs, turned, limits):
        sum_ = node.source
        self.kernel = sum_.kernel * signs
        levels = np.broadcast_to(
            node.levels[:, None], (len(node.levels), len(turned))
        )
        self.mirror = node.levels[0] + node.levels[-1]
        thresholds = np.asarray(node.thresholds, "int64")
        # -y >= t is y < 1 - t.
        self.levels = np.where(turned < 0, self.mirror - levels[::-1], levels)
        thresholds = np.where(turned < 0, (1 - thresholds)[::-1], thresholds)
        magnitude = np.abs(self.kernel)
        axes = tuple(range(magnitude.ndim - 1))
        reach = magnitude.sum(axes) * sum_.largest_code
        reach = reach.astype("int64")
        step = 1
        if sum_.window is None and _all_odd(self.kernel, sum_.source.levels):
            # Sums are all odd or all even, which leaves a wider gap.
            step = 2
            thresholds = thresholds + (thresholds - reach) % 2
        self.thresholds = np.clip(thresholds, -reach, reach + step)
        self.pattern = _pattern(node.levels)
        self.exact = np.zeros(len(turned), bool)
        if self.pattern is None:
            return
        wanted = self.thresholds
        if len(wanted) < len(self.pattern.bins):
            wanted = np.repeat(wanted, 2, axis=0)
        largest = magnitude.max(axes)
        for limit in limits:
            self.requantization = requantization.find(
                wanted, self.pattern.bins, reach, step, largest, limit
            )
            self.exact = self.requantization.exact
            if self.exact.all() and largest.max() <= limit:
                break
        if sum_.groups > 1 and not self.exact.all():
            # All groups need the same number of channels.
            self.exact = np.zeros(len(turned), bool)


def _all_odd(*numbers):
    return all((np.asarray(values) % 2 == 1).all() for values in numbers)
