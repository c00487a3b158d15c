"""Codes as sums of ±1 planes with power-of-two factors.

An engine that multiplies ±1 by ±1 only can still run wider codes: a code is
written as `sum_i factors[i] * sign_i + offset`, and products of two codes as
sums of products of signs.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Planes:
    """How codes are written as planes: `sum_i factors[i] * sign_i + offset`.

    Args:
        factors: Powers of two, descending.
        offset: What the signs leave: 0, ±1/2, or the middle of the levels.
    """

    factors: tuple
    offset: float = 0.0

    @property
    def reach(self):
        """The largest magnitude that the planes can add up to."""
        return sum(self.factors) + abs(self.offset)

    def signs(self, codes, sign, value=lambda sign: sign):
        """The ±1 of each plane for an array or a tensor of codes.

        Args:
            codes: Array or tensor of codes that the planes can write.
            sign: Function to +1 where its argument is >= 0 and -1 elsewhere.
            value: Function from what `sign` returns to numbers.

        Returns:
            A list of what `sign` returned for each plane.
        """
        # Each plane leaves a rest that the smaller ones can write. A rest of
        # 0 may take either sign.
        rest = codes - self.offset if self.offset else codes
        signs = [sign(rest)]
        for factor in self.factors[:-1]:
            rest = rest - factor * value(signs[-1])
            signs.append(sign(rest))
        return signs


def planes(levels, offset=False):
    """The fewest planes that can write all levels.

    {-1, 1} takes one plane, {-1, 0, 1} two of 1/2, {0, ±1, ±2, ±4} four of 2,
    1, 1/2, 1/2 and {0, ±1, ..., ±64} eight. `n` planes of 1, 2, 4, ... write
    the odd numbers up to `2^n - 1`; to reach odd and even numbers alike, the
    two smallest factors must be equal.

    Args:
        levels: Integers.
        offset: Whether a constant may be added. 1/2 saves one of nine planes
            for the 256 levels of signed 8 bits; around their middle the 2^n
            levels of n unsigned bits take n planes.

    Returns:
        A `Planes`.
    """
    levels = np.asarray(levels, "float64")
    choices = [_without_offset(levels)]
    if offset:
        middle = (levels.min() + levels.max()) / 2
        choices += [
            Planes(_without_offset(levels - constant).factors, constant)
            for constant in (-0.5, 0.5, float(middle))
        ]
    return min(choices, key=lambda choice: len(choice.factors))


def _without_offset(levels):
    largest = np.abs(levels).max(initial=0.0)
    if not largest:
        return Planes((0.5, 0.5))
    unit = 0.5
    while not (levels % (2 * unit)).any():
        unit *= 2
    largest = int(largest / unit)
    odd = bool((levels / unit % 2).all())
    if odd:
        exponents = range(largest.bit_length())
        return Planes(tuple(unit * 2.0**e for e in reversed(exponents)))
    exponents = range((largest - 1).bit_length())
    factors = [unit * 2.0**e for e in reversed(exponents)]
    return Planes((*factors, unit / 2, unit / 2))
