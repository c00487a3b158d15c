"""Gives edited files to `report` and `Interpreter`, in child processes.

    python -m tests.converters.trials START STOP FOLDER...

Each folder has the files of a target.

A child tries file after file until one ends it; the next goes on behind that.
"""

import collections
import contextlib
import os
import pathlib
import signal
import sys
import time

import numpy as np

from keras_aqe.converters import ConversionError, Interpreter, report
from keras_aqe_runtime.file import metadata
from tests.converters.edits import Editor

# Seconds of CPU time until a file counts as hanging, and of waiting, which
# may be long where machines are busy.
LIMIT = 20
PATIENCE = 600
# Outcomes that are no fault.
QUIET = ("accepted", "refused")


def run(files, numbers, log=print):
    """Edits files and tries them.

    Args:
        files: Bytes of files.
        numbers: A range, a number for each edited file.
        log: Function that is given a line about each fault.

    Returns:
        A `collections.Counter` of `"accepted"`, `"refused"`, `"raw error"`,
        `"crash"` and `"hang"`.
    """
    editor = Editor(files)
    outcomes = collections.Counter()
    left = list(numbers)
    while left:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _child(editor, left, writing)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                outcome, number = line.rstrip("\n"), left.pop(0)
                outcomes[outcome if outcome in QUIET else "raw error"] += 1
                if outcome not in QUIET:
                    log(f"{number}: {outcome}")
        _, status = os.waitpid(child, 0)
        if status:
            number, ended = left.pop(0), os.waitstatus_to_exitcode(status)
            hung = -ended in (signal.SIGPROF, signal.SIGALRM)
            outcomes["hang" if hung else "crash"] += 1
            log(f"{number}: status {ended} {editor.edited(number)[1]}")
    return outcomes


def _child(editor, numbers, writing):
    status = 1
    with contextlib.suppress(BaseException):
        # Engines write there what they refuse.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with os.fdopen(writing, "w", buffering=1) as lines:
            for number in numbers:
                lines.write(attempt(*editor.edited(number)) + "\n")
        status = 0
    os._exit(status)


def attempt(data, done):
    """What becomes of a file: accepted, refused, or an error and why."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    outcome = "accepted"
    described = metadata.NAME.encode() in data
    for read in (predict, describe) if described else (predict,):
        try:
            read(data)
        except ConversionError:
            outcome = "refused"
        except Exception as error:
            text = str(error)[:200].replace("\n", " ")
            return f"{type(error).__name__} {text} {done}"
    return outcome


def describe(data):
    str(report(data))


def predict(data):
    interpreter = Interpreter(data)
    for examples in (1, 2):
        arrays = [
            np.ones((examples, *spec.shape[1:]), spec.dtype)
            for spec in interpreter._signature._specs
            if spec.shape
            and max(spec.shape[1:], default=1) < 1000
            and min(spec.shape[1:], default=1) >= 0
        ]
        if len(arrays) == len(interpreter._signature._specs):
            interpreter.predict(arrays)


def main(start, stop, *folders):
    numbers = range(int(start), int(stop))
    for folder in map(pathlib.Path, folders):
        files = [path.read_bytes() for path in sorted(folder.iterdir())]
        started = time.time()
        outcomes = run(files, numbers)
        print(folder.name, dict(outcomes), f"in {time.time() - started:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
