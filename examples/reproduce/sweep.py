"""All runs of an experiment, those that are finished left out."""

import contextlib
import fcntl
import subprocess
import sys
import time

from examples.reproduce import runs
from examples.reproduce.store import Store


class Sweep:
    """The runs of an experiment at a scale, and which of them are finished.

    Args:
        args: The command's `experiment`, `scale`, `output`, `jobs` and so on.
    """

    def __init__(self, args):
        self.args = args
        self.config = runs.load(args.experiment)
        self.plan = list(runs.expand(self.config, args.scale))
        self.store = Store(args.output / "results.jsonl")

    def finished(self):
        """Returns `{key(run): record}`."""
        return {runs.key(record["run"]): record for record in self.store}

    def pending(self):
        """Returns the runs that can be started now, in order."""
        finished = self.finished()
        accuracies = {
            key: record["validation_accuracy"]
            for key, record in finished.items()
        }
        searched = [run for stage, run in self.plan if stage == runs.SEARCH]
        resolved = {}
        for _, run in self.plan:
            run = runs.resolve(run, searched, accuracies)
            if run is not None:
                resolved.setdefault(runs.key(run), run)
        return [run for key, run in resolved.items() if key not in finished]

    def run_all(self):
        """Runs what is pending, one after the other in this process."""
        while pending := self.pending():
            self.run(pending[0])

    def run(self, run):
        """Trains a run and writes its line, unless another process has."""
        # Imported here: the process that only starts others needs no
        # TensorFlow.
        from examples.reproduce import training

        folder = self.args.output / "runs" / runs.identifier(run)
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / "lock"):
            if runs.key(run) in self.finished():
                return
            print(f"{runs.identifier(run)}: {runs.label(run)}", flush=True)
            record = training.train(run, folder, self.args)
            self.store.append(record)
            print(
                f"{runs.identifier(run)}: hard test accuracy "
                f"{record['test_accuracy']:.4f}, {record['seconds']:.0f} s",
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


@contextlib.contextmanager
def _lock(path):
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
