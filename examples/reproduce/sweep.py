"""All runs of an experiment, those that are finished left out."""

import contextlib
import math
import os
import shutil
import subprocess
import sys
import time
import traceback

from filelock import FileLock, Timeout

from examples.reproduce import runs
from examples.reproduce.store import Store


class Sweep:
    """The runs of an experiment at a scale, and which of them are finished.

    Args:
        args: The command's `experiment`, `scale`, `output`, `jobs` and so on.
        strategy: `tf.distribute` strategy of the runs, if this process runs
            any under TensorFlow.
    """

    def __init__(self, args, strategy=None):
        self.args = args
        self.strategy = strategy
        self.config = runs.load(args.experiment)
        self.plan = list(runs.expand(self.config, args.scale))
        self.store = Store(args.output / "results.jsonl")

    def finished(self):
        """Returns `{key(run): record}`."""
        return {runs.key(record["run"]): record for record in self.store}

    def resolved(self):
        """Returns the plan with "best" learning rates replaced.

        A run whose learning rate is not known yet is left out.
        """
        accuracies = {
            key: record["validation_accuracy"]
            for key, record in self.finished().items()
        }
        searched = [p.run for p in self.plan if p.place == runs.SEARCH]
        resolved = [
            runs.Planned(p.place, runs.resolve(p.run, searched, accuracies))
            for p in self.plan
        ]
        return [planned for planned in resolved if planned.run is not None]

    def pending(self):
        """Returns the runs that can be started now, in order."""
        finished = self.finished()
        found = {runs.key(p.run): p.run for p in self.resolved()}
        return [
            run
            for key, run in found.items()
            if key not in finished and self._sources(run, finished) is not None
        ]

    def _sources(self, run, finished):
        """Paths of the networks that a run needs, `None` if one is missing."""
        paths = {}
        for setting, source in runs.sources(run, self.plan).items():
            if runs.key(source) not in finished:
                return None
            paths[setting] = self.folder(source) / "model.keras"
        return paths

    def folder(self, run):
        """Where the files of a run are."""
        return self.args.output / "runs" / runs.identifier(run)

    def run_all(self):
        """Runs what is pending, one after the other in this process."""
        while (pending := self.pending()) and not self.is_late():
            self.run(pending[0])

    def share(self):
        """Runs what is pending and no other process is at.

        A run that fails is left, with a message, and the others go on.

        Returns:
            The names of runs that failed.
        """
        failed = []
        while not self.is_late():
            names = {runs.identifier(run): run for run in self.pending()}
            waiting = [name for name in names if name not in failed]
            if not waiting:
                break
            for name in waiting:
                try:
                    self.run(names[name], wait=False)
                except Timeout:
                    continue
                except Exception:
                    traceback.print_exc()
                    failed.append(name)
                break
            else:
                # The others are at all of them; more may wait for theirs.
                time.sleep(1)
        return failed

    def is_late(self):
        """Whether the time is up."""
        return time.monotonic() >= self.args.deadline

    def run(self, run, wait=True):
        """Trains a run and writes its line, unless another process has.

        Args:
            run: Settings.
            wait: Whether to wait for a process that is at it.

        Raises:
            filelock.Timeout: If another process is at it, unless `wait`.
        """
        # Imported here: a process that only starts others has no backend.
        from examples.reproduce import training

        name = runs.identifier(run)
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        chief = self.is_chief()
        # Freed by the system if this process is killed.
        lock = contextlib.nullcontext()
        if chief:
            lock = FileLock(folder / "lock", timeout=-1 if wait else 0)
        with lock:
            finished = self.finished()
            if chief and runs.key(run) in finished:
                return
            print(f"{name}: {runs.label(run)} ({self.place()})", flush=True)
            sources = self._sources(run, finished)
            record = training.train(
                run, folder, self.args, sources, self.strategy
            )
            if record is None:
                print(f"{name}: stopped, goes on when called again", flush=True)
                return
            if chief:
                self.store.append(record)
        # The other workers look for the next run only now.
        self._barrier()
        if chief:
            shutil.rmtree(folder / "backup", ignore_errors=True)
        print(
            f"{name}: hard test accuracy {record['test_accuracy']:.4f}, "
            f"validation {record['validation_accuracy']:.4f}, "
            f"{record['seconds']:.0f} s",
            flush=True,
        )

    def place(self):
        """How many runs are done, and how long the others take."""
        finished = self.finished()
        # Those whose learning rate is not known yet count as well.
        left = len(self.plan) - sum(
            runs.key(planned.run) in finished for planned in self.resolved()
        )
        text = f"{len(self.plan) - left + 1} of {len(self.plan)}"
        seconds = [
            record["seconds"]
            for record in finished.values()
            if record.get("seconds")
        ]
        if not seconds:
            return text
        mean = sum(seconds) / len(seconds)
        minutes = mean * left / max(self.args.jobs, 1) / 60
        return f"{text}, {_duration(minutes)} left"

    def is_chief(self):
        """Whether this process writes, of several that share a run."""
        if self.strategy is None:
            return True
        from examples.reproduce import strategies

        return strategies.worker(self.strategy) == 0

    def _barrier(self):
        if self.strategy is not None:
            from examples.reproduce import strategies

            strategies.barrier(self.strategy)

    def run_in_processes(self, command):
        """Shares what is pending among `jobs` processes.

        Args:
            command: Arguments of this command.
        """
        left = self.args.deadline - time.monotonic()
        budget = ["--budget", str(left)] if math.isfinite(left) else []
        # Each takes the memory that it needs, and not most of a GPU.
        environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
        children = [
            subprocess.Popen(
                [sys.executable, "-m", "examples.reproduce"]
                + [*command, *budget, "--worker"],
                env=environment,
            )
            for _ in range(self.args.jobs)
        ]
        if any([child.wait() for child in children]):
            sys.exit("Some runs failed, see above.")


def _duration(minutes):
    """About how long that is, in words."""
    if minutes < 1:
        return "under a minute"
    if minutes < 100:
        return f"about {minutes:.0f} min"
    return f"about {minutes / 60:.1f} h"
