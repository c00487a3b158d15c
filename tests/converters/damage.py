"""Damages files and gives them to `report` and `Interpreter`.

    python -m tests.converters.damage FILE COUNT SEED

Prints how many were refused; a run for its own process, which a crash ends.
"""

import collections
import pathlib
import sys

import numpy as np

from keras_aqe.converters import ConversionError, Interpreter, report


def damaged(data, random):
    """A truncated file, or one with 1 to 8 bits flipped."""
    if random.random() < 0.3:
        return data[: random.integers(len(data))]
    changed = bytearray(data)
    # Half of them in the first 4 KiB, where the structure is.
    reach = len(data) if random.random() < 0.5 else min(4096, len(data))
    for position in random.integers(reach, size=random.integers(1, 9)):
        changed[position] ^= 1 << random.integers(8)
    return bytes(changed)


def main(path, count, seed):
    random = np.random.default_rng(int(seed))
    data = pathlib.Path(path).read_bytes()
    outcomes = collections.Counter()
    for _ in range(int(count)):
        file = damaged(data, random)
        for read in (report, Interpreter):
            try:
                read(file)
                outcomes[f"{read.__name__} accepted"] += 1
            except (ConversionError, ValueError, RuntimeError):
                outcomes[f"{read.__name__} refused"] += 1
    print(dict(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
