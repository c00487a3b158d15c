"""The paper's formulas in NumPy, one value at a time or nearly so."""

import numpy as np


def binary(x):
    """Chen et al., 2020, Eq. 4."""
    return np.where(np.asarray(x) < 0, -1.0, 1.0).astype("float32")


def power_of_two(x, bits, thresholds):
    """Chen et al., 2020, Eq. 22; `thresholds` are `D_q, ..., D_1`."""
    q = 2 ** (bits - 1) - 1
    # D[p], with D[0] = infinity
    D = [np.inf, *reversed([np.float32(t) for t in thresholds])]
    assert len(D) == q + 1
    result = np.zeros(np.shape(x), "float32")
    for index, value in np.ndenumerate(np.asarray(x, "float32")):
        if abs(value) <= D[q]:
            continue
        for p in range(q - 1, -1, -1):
            if abs(value) <= D[p]:
                result[index] = np.sign(value) * 2.0**-p
                break
    return result


def midpoints(bits):
    """Midpoints of the neighbouring magnitudes, ascending."""
    q = 2 ** (bits - 1) - 1
    magnitudes = [0.0] + [2.0**-p for p in range(q - 1, -1, -1)]
    return [(a + b) / 2 for a, b in zip(magnitudes, magnitudes[1:])]


def fixed_point(x, bits):
    limit = 2 ** (bits - 1)
    steps = np.rint(np.asarray(x, "float64") * limit)
    return (np.clip(steps, -limit, limit - 1) / limit).astype("float32")


def unsigned(x, bits):
    """The nearest of 0, 1, ..., 2^bits - 1 times 2^(1 - bits), or the even."""
    codes = np.arange(2**bits)
    # Of two that are as near, argmin takes the first.
    codes = np.concatenate([codes[::2], codes[1::2]])
    levels = codes * 2.0 ** (1 - bits)
    distances = np.abs(np.asarray(x, "float64")[..., None] - levels)
    return levels[distances.argmin(axis=-1)].astype("float32")


def float16(x):
    limit = np.finfo("float16").max
    x = np.clip(np.asarray(x, "float32"), -limit, limit)
    return x.astype("float16").astype("float32")
