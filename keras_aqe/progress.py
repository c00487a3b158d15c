"""Progress of long work on the terminal."""

import contextlib

import rich.console
import rich.progress


@contextlib.contextmanager
def bar(what, verbose, total=None):
    """A progress bar on standard error.

    Args:
        what: What is done, in a word or two.
        verbose: 0 for none.
        total: Number of steps; `None` if it is not known.

    Yields:
        A function to be called with the number of steps that are done, or
        with the name of the step that begins.
    """
    if not verbose:
        yield lambda step: None
        return
    columns = rich.progress.Progress.get_default_columns()
    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)

        def advance(step):
            if isinstance(step, str):
                progress.update(task, description=f"{what}: {step}")
            else:
                progress.update(task, completed=step)

        yield advance
        if total is not None:
            progress.update(task, completed=total)
