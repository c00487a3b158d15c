"""All runs of an experiment, those that are finished left out."""

import contextlib
import shutil
import subprocess
import sys
import time

from filelock import FileLock

from examples.reproduce import runs
from examples.reproduce.store import Store


class Sweep:
    """The runs of an experiment at a scale, and which of them are finished.

    Args:
        args: The command's `experiment`, `scale`, `output`, `jobs` and so on.
        strategy: `tf.distribute` strategy of the runs, if this process runs
            any.
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
        return [run for key, run in found.items() if key not in finished]

    def run_all(self):
        """Runs what is pending, one after the other in this process."""
        while pending := self.pending():
            self.run(pending[0])

    def run(self, run):
        """Trains a run and writes its line, unless another process has."""
        # Imported here: a process that only starts others has no TensorFlow.
        from examples.reproduce import strategies, training

        name = runs.identifier(run)
        folder = self.args.output / "runs" / name
        folder.mkdir(parents=True, exist_ok=True)
        chief = strategies.worker(self.strategy) == 0
        # Freed by the system if this process is killed.
        lock = FileLock(folder / "lock") if chief else contextlib.nullcontext()
        with lock:
            if chief and runs.key(run) in self.finished():
                return
            print(f"{name}: {runs.label(run)}", flush=True)
            record = training.train(run, folder, self.args, self.strategy)
            if chief:
                self.store.append(record)
        # The other workers look for the next run only now.
        strategies.barrier(self.strategy)
        if chief:
            shutil.rmtree(folder / "backup")
        print(
            f"{name}: hard test accuracy {record['test_accuracy']:.4f}, "
            f"{record['seconds']:.0f} s",
            flush=True,
        )

    def run_in_processes(self, command):
        """Runs what is pending, `jobs` at a time, each in its own process.

        Args:
            command: Arguments of this command, to which the name of the run
                is added.
        """
        children, failed = {}, []
        while True:
            for name, child in list(children.items()):
                if child.poll() is not None:
                    del children[name]
                    if child.returncode:
                        failed.append(name)
            if len(children) < self.args.jobs:
                names = [runs.identifier(run) for run in self.pending()]
                waiting = [n for n in names if n not in (*children, *failed)]
                for name in waiting[: self.args.jobs - len(children)]:
                    children[name] = subprocess.Popen(
                        [sys.executable, "-m", "examples.reproduce", *command]
                        + ["--only", name]
                    )
            if not children:
                break
            time.sleep(1)
        if failed:
            sys.exit(f"These runs failed, see above: {', '.join(failed)}")
