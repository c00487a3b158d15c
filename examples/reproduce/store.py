"""Finished runs, one line of JSON each."""

import errno
import json
import os


class Store:
    """The lines of a file that several processes may append to.

    A line that a killed process left unfinished is dropped.
    """

    def __init__(self, path):
        self.path = path

    def __iter__(self):
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

    def append(self, record):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # One write to a file opened for appending is never torn apart by
        # another process; the newline in front ends an unfinished line.
        line = f"{json.dumps(record)}\n".encode()
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                line = b"\n" + line
            if os.write(file, line) < len(line):
                raise OSError(errno.ENOSPC, "No space left", str(self.path))
        finally:
            os.close(file)


def epochs(path):
    """Returns the lines of curves; of an epoch that was repeated, the last."""
    if not path.exists():
        return []
    lines = map(json.loads, path.read_text().splitlines())
    return list({line["epoch"]: line for line in lines}.values())
