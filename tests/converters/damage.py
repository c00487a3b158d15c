"""Damages files and gives them to `report` and `Interpreter`.

    python -m tests.converters.damage COUNT SEED FILE...

Prints how many were refused of each file and each kind; a run for its own
process, which a crash ends. The kind is "sealed" for files as they are;
"resealed" for files whose digest was made right again after the damage;
"stock" for files without metadata, as from elsewhere.
"""

import collections
import pathlib
import signal
import sys

import numpy as np

from keras_aqe.converters import ConversionError, Interpreter, report
from keras_aqe_runtime.file import flatbuffer, metadata, signature

# Seconds until a file counts as hanging; the signal ends the process.
LIMIT = 60


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


def resealed(data, description):
    """A damaged file with a right digest, as far as it can be parsed."""
    try:
        return metadata.seal(flatbuffer.read(data), description)
    except Exception:
        # Nothing that could be written again.
        return data


def predict(data):
    interpreter = Interpreter(data)
    graph = flatbuffer.read(data).subgraphs[0]
    shapes = [signature.spec(graph, index).shape for index in graph.inputs]
    interpreter.predict([np.zeros((1, *shape[1:]), "f") for shape in shapes])


KINDS = ("sealed", "resealed", "stock")


def run(path, count, seed, kind):
    random = np.random.default_rng(seed)
    data = pathlib.Path(path).read_bytes()
    parsed = flatbuffer.read(data)
    description = metadata.read(parsed)
    if kind == "stock":
        parsed.metadata = None
        data = flatbuffer.write(parsed)
    outcomes = collections.Counter()
    for index in range(count):
        file = damaged(data, random)
        if kind == "resealed":
            file = resealed(file, description)
        for read in (report, predict):
            # What a crash was caused by.
            print(path, kind, index, read.__name__, file=sys.stderr, flush=True)
            # Of CPU time, since machines may be busy.
            signal.setitimer(signal.ITIMER_PROF, LIMIT)
            try:
                read(file)
                outcomes[f"{read.__name__} accepted"] += 1
            # A shape may say more than there is memory for its input.
            except (ConversionError, ValueError, RuntimeError, MemoryError):
                outcomes[f"{read.__name__} refused"] += 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    return dict(outcomes)


def main(count, seed, *paths):
    outcomes = {
        (path, kind): run(path, int(count), int(seed), kind)
        for path in paths
        for kind in KINDS
    }
    print(outcomes)


if __name__ == "__main__":
    main(*sys.argv[1:])
