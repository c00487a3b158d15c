"""Finds int8 constants that give exactly the codes of integer thresholds.

A quantized operator of TFLite computes `q = round(multiplier * (factor * acc +
bias))`, limited to its output's range, where `acc` is the sum of codes and
`factor` is folded into the kernel. The constants found here make `q` pass
given bins exactly at given accumulators.

Engines round `q` differently: XNNPACK in float32 to the nearest even, ruy once
in fixed point, the reference kernels twice. All are within a known error of
the true product, so constants that keep this distance from every rounding
boundary, for the accumulators on both sides of it, are exact in all of them.
Fixed point first shifts to the left for multipliers of 1 and more, which must
not leave int32.
"""

import dataclasses

import numpy as np

# Beyond 24 bits XNNPACK's float32 no longer tells accumulators apart.
_MAX_ACCUMULATOR = 2**24
_MAX_MULTIPLIER = 8.0
_INT32 = 2.0**31


@dataclasses.dataclass(frozen=True)
class Requantization:
    """Constants for each channel.

    Args:
        factors: Integers that the kernel's codes are multiplied with.
        biases: Integers in units of the multiplied codes.
        multipliers: Floats above 0.
        exact: Whether the constants of a channel give its codes.
    """

    factors: np.ndarray
    biases: np.ndarray
    multipliers: np.ndarray
    exact: np.ndarray


def find(thresholds, bins, reach, step, largest_weight, limit):
    """Finds constants by which bin `bins[k]` begins at `thresholds[k]`.

    For each channel this asks for a straight line: the accumulator at which
    `q` would be exactly `bins[k] - 1/2` is `slope * (bins[k] - 1/2) + origin`,
    and has to lie between the accumulators `thresholds[k] - step` and
    `thresholds[k]`, away from both. With the slope fixed, the origin has an
    interval, whose width is largest at a slope that two thresholds define.

    Args:
        thresholds: Integers `(bins, channels)`, not descending.
        bins: Integers, ascending: `q >= bins[k]` if and only if
            `acc >= thresholds[k]`.
        reach: The largest `|acc|` of each channel; beyond it a threshold is
            always or never passed.
        step: Distance between two accumulators.
        largest_weight: The largest `|code|` of each channel's kernel.
        limit: The largest magnitude that a kernel's element may have.

    Returns:
        A `Requantization`.
    """
    reach = reach.astype("float64")
    factors = np.minimum(
        limit // np.maximum(largest_weight, 1),
        _MAX_ACCUMULATOR // (2 * reach + 2),
    )
    factors = np.maximum(factors, 1.0)
    edges = np.asarray(bins, "float64")[:, None] - 0.5
    always, never = thresholds <= -reach, thresholds > reach
    lower = np.where(never, reach, np.where(always, -np.inf, thresholds - step))
    upper = np.where(always, -reach, np.where(never, np.inf, thresholds + 0.0))

    # Shifting doubles, and a bias is about as large as what it is added to.
    steepest = 1 / np.minimum(
        _MAX_MULTIPLIER * factors, _INT32 / (4 * (reach + step))
    )
    slopes = _slopes(lower, upper, edges[:, 0], steepest)
    # (slopes, bins, channels)
    margin = _error(
        edges * slopes[:, None] * factors, slopes[:, None] * factors
    )
    margin = margin / factors
    least = (lower + margin - slopes[:, None] * edges).max(axis=1)
    most = (upper - margin - slopes[:, None] * edges).min(axis=1)
    least = np.where(np.isinf(least), most - 1, least)
    most = np.where(np.isinf(most), least + 1, most)

    best = (most - least).argmax(axis=0)[None]
    slope, least, most = (
        np.take_along_axis(values, best, axis=0)[0]
        for values in (slopes, least, most)
    )
    biases = np.rint(-factors * (least + most) / 2)
    origin = -biases / factors
    multipliers = 1 / (slope * factors)
    _, shifts = np.frexp(multipliers)
    largest = factors * reach + np.abs(biases)
    fits = largest * 2.0 ** np.maximum(shifts, 0) < _INT32
    return Requantization(
        factors.astype("int64"),
        biases.astype("int64"),
        multipliers,
        (least <= origin) & (origin <= most) & fits,
    )


def _slopes(lower, upper, edges, steepest):
    """Candidates `(slopes, channels)`, none below `steepest`."""
    first, second = np.triu_indices(len(edges), 1)
    run = (edges[second] - edges[first])[:, None]
    with np.errstate(invalid="ignore"):
        slopes = np.concatenate(
            [(side[second] - side[first]) / run for side in (lower, upper)]
        )
    slopes = np.where(np.isfinite(slopes), slopes, 0.0)
    # Where few thresholds are reached, none of these may be flat enough.
    flat = 2 * np.maximum(slopes.max(axis=0, initial=0.0), 1.0)
    reach = np.where(np.isfinite(lower), lower, 0).max(axis=0)
    return np.maximum(np.vstack([slopes, flat, flat + 2 * reach]), steepest)


def _error(accumulators, ratios):
    """How far engines may be off, in units of the multiplied codes.

    Below 1/2 the reference kernels round twice: first the product with the
    multiplier's mantissa, then that divided by the power of two.
    """
    mantissas, _ = np.frexp(1 / ratios)
    twice = np.where(ratios > 2, 0.5 / mantissas, 0.0)
    return twice + 2.0**-8 + 2.0**-21 * np.abs(accumulators)
