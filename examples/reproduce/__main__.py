"""The command line: `python -m examples.reproduce table1 --scale small`."""

import argparse
import os
import sys
from pathlib import Path

from examples.reproduce import runs
from examples.reproduce.sweep import Sweep


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv)
    sweep = Sweep(args)
    if args.only is not None:
        _share_cores(args.jobs)
        (run,) = [
            run for run in sweep.pending() if runs.identifier(run) == args.only
        ]
        sweep.run(run)
    elif args.jobs == 1:
        sweep.run_all()
    else:
        sweep.run_in_processes(argv)


def _share_cores(jobs):
    import tensorflow as tf

    threads = max(1, os.cpu_count() // jobs)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


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
    add("--output", type=Path, help="folder; runs/<experiment> if not given")
    add(
        "--jobs",
        type=int,
        default=1,
        help="runs at a time, each with its share of the cores; on a CPU two "
        "runs on a core each finish sooner than one after the other on two",
    )
    add("--only", metavar="ID", help="one run, by the id of its line")
    args = parser.parse_args(argv)
    args.output = args.output or Path("runs") / args.experiment
    return args


if __name__ == "__main__":
    main()
