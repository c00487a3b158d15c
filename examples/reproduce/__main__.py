"""The command line: `python -m examples.reproduce table1 --scale small`."""

import argparse
import sys
from pathlib import Path

from examples.reproduce import report, runs
from examples.reproduce.sweep import Sweep


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = parse(argv)
    if args.report or (args.jobs > 1 and args.only is None):
        sweep = Sweep(args)
        if not args.report:
            sweep.run_in_processes(argv)
        print(report.write(sweep))
        return
    # Imported here: a process that only starts others has no TensorFlow.
    from examples.reproduce import strategies

    if args.jobs > 1:
        strategies.share_cores(args.jobs)
    sweep = Sweep(args, strategies.create(args.strategy))
    if args.only is not None:
        waiting = {runs.identifier(run): run for run in sweep.pending()}
        if args.only not in waiting:
            sys.exit(f"--only {args.only}: no run of that id is waiting.")
        sweep.run(waiting[args.only])
        return
    sweep.run_all()
    if strategies.worker(sweep.strategy) == 0:
        print(report.write(sweep))


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
        help="runs at a time, each with its share of the cores; on a CPU two "
        "runs on a core each finish sooner than one after the other on two",
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
    args = parser.parse_args(argv)
    if args.jobs > 1 and args.strategy != "none":
        parser.error(
            "--jobs is for runs on one device. Leave it out to share a run "
            f"by --strategy {args.strategy}."
        )
    args.output = args.output or Path("runs") / args.experiment
    return args


if __name__ == "__main__":
    main()
