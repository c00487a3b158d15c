"""The command line: `python -m examples.reproduce table1 --scale small`."""

import argparse
import math
import sys
import time
from pathlib import Path

from examples.reproduce import plan, report, runs
from examples.reproduce.sweep import Sweep


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv)
    alone = args.jobs == 1 or args.worker or args.only is not None
    if args.plan:
        print(plan.table(Sweep(args)))
        return
    if args.report or not alone:
        sweep = Sweep(args)
        if not args.report:
            sweep.run_in_processes(argv)
        print(report.write(sweep))
        return
    sweep = Sweep(args, _strategy(args))
    if args.only is not None:
        waiting = {runs.identifier(run): run for run in sweep.pending()}
        if args.only not in waiting:
            sys.exit(f"--only {args.only}: no run of that id is waiting.")
        sweep.run(waiting[args.only])
        return
    if args.worker:
        if failed := sweep.share():
            sys.exit(f"These runs failed, see above: {', '.join(failed)}")
        return
    sweep.run_all()
    if sweep.is_chief():
        print(report.write(sweep))


def _strategy(args):
    """The `tf.distribute` strategy of the runs; there is none under JAX."""
    # Imported here: a process that only starts others has no backend.
    import keras

    if keras.backend.backend() != "tensorflow":
        if args.strategy != "none":
            sys.exit(
                f"--strategy {args.strategy} needs KERAS_BACKEND=tensorflow."
            )
        return None
    from examples.reproduce import strategies

    if args.worker:
        strategies.share_cores(args.jobs)
    return strategies.create(args.strategy)


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="python -m examples.reproduce",
        description="Reproduces a table or figure of Chen et al., 2020. A "
        "sweep that was stopped goes on when the same command is given.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("experiment", choices=runs.NAMES)
    add("--scale", choices=runs.SCALES, default="small")
    add("--data-dir", help="of tensorflow-datasets")
    add(
        "--images",
        type=Path,
        metavar="FILE",
        help="CIFAR as examples.reproduce.images writes it, in place of "
        "tensorflow-datasets",
    )
    add(
        "--image-folder",
        type=Path,
        help="with folders `train` and `val` of class folders, in place of "
        "imagenet2012 from --data-dir",
    )
    add("--output", type=Path, help="folder; runs/<experiment> if not given")
    add(
        "--jobs",
        type=int,
        default=1,
        help="processes that share the runs, each with its share of the "
        "cores; on a CPU two runs on a core each finish sooner than one after "
        "the other on two, on a GPU one compiles while another trains",
    )
    add(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="stop at the first whole epoch after them; the same command "
        "goes on from there",
    )
    add(
        "--strategy",
        choices=["none", "mirrored", "multiworker", "tpu"],
        default="none",
        help="of tf.distribute; multiworker takes the addresses of the "
        "workers from TF_CONFIG and needs an --output that they share",
    )
    add("--only", metavar="ID", help="one run, by the id of its line")
    add(
        "--report",
        action="store_true",
        help="train nothing; write the table and the figures of the runs that "
        "are finished",
    )
    add(
        "--plan",
        action="store_true",
        help="train nothing; say which runs there are, how long each takes "
        "and which are finished",
    )
    # One of the processes of --jobs.
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.jobs > 1 and args.strategy != "none":
        parser.error(
            "--jobs is for runs on one device. Leave it out to share a run "
            f"by --strategy {args.strategy}."
        )
    if args.budget is not None and args.strategy != "none":
        parser.error(
            "--budget is for runs on one device: workers would stop at "
            f"different epochs. Leave it out with --strategy {args.strategy}."
        )
    budget = math.inf if args.budget is None else args.budget
    args.deadline = time.monotonic() + budget
    args.output = args.output or Path("runs") / args.experiment
    return args


if __name__ == "__main__":
    main()
