"""`keras-aqe train`."""

import pathlib

from keras_aqe.cli.inputs import (
    TARGETS,
    UsageError,
    above_zero,
    positive,
)

HELP = "train a network of few bits on digits or CIFAR-10, and convert it"
EXAMPLES = """\
examples:
  keras-aqe train digits --input-bits 2 --weight-bits 2 --output runs/digits
  keras-aqe train cifar10 --variant D --epochs 50 --output runs/d11
  keras-aqe train cifar10 --variant D --epochs 50 --output runs/d11 --resume

The learning rate of Adam falls to 0 by a cosine. Chen et al., 2020, train by
batches of 256 for 200 epochs:
  --batch-size 256 --epochs 200

A run that was stopped goes on at its last whole epoch, with the alpha it was
at, when the same command is given with --resume.
"""


def add_arguments(parser):
    add = parser.add_argument
    add("dataset", choices=["digits", "cifar10"])
    add("--network", choices=["MINWNet", "ResNet20"], default="MINWNet")
    add("--variant", choices="ABCD", default="D", help="of MINWNet")
    add("--filters", type=positive, help="MINWNet's first, for the variant's")
    add("--dense-units", type=positive, help="MINWNet's, for the variant's")
    add("--input-bits", type=int, default=1, choices=[1, 2, 3, 4, 8, 16, 32])
    add("--weight-bits", type=int, default=1, choices=[1, 2, 3, 4, 16, 32])
    add("--estimator", choices=["aqe", "aqe_ste", "ste"], default="aqe")
    add(
        "--schedule",
        choices=["constant", "cosine", "exponential", "linear"],
        default="linear",
        help="of alpha, up to 1 at 85 %% of the run: linear from 0.1, others "
        "from 1/2; constant stays at 1/2 and leaves a network that is poor "
        "once it is hard",
    )
    add("--epochs", type=positive, default=50, help="(default: 50)")
    add("--batch-size", type=positive, default=128, help="(default: 128)")
    add(
        "--learning-rate",
        type=above_zero,
        default=0.01,
        help="of the first step (default: 0.01)",
    )
    add("--seed", type=int, default=0)
    add("--train-images", type=positive, default=45_000, help="at most")
    add(
        "--augment",
        action="store_true",
        default=None,
        help="crop and flip at random (the default for CIFAR-10)",
    )
    add("--no-augment", dest="augment", action="store_false")
    add("--data-dir", help="of tensorflow-datasets")
    add("--target", choices=TARGETS, default="packed", help="of the file")
    add(
        "--output",
        type=pathlib.Path,
        help="folder (default: runs/DATASET)",
    )
    add("--resume", action="store_true", help="go on with a stopped run")


def run(args):
    if args.output is None:
        args.output = pathlib.Path("runs") / args.dataset
    if args.augment is None:
        args.augment = args.dataset == "cifar10"
    if not args.batch_size <= args.train_images <= 45_000:
        raise UsageError(
            f"--train-images must be from --batch-size ({args.batch_size}) to "
            f"45000. Received: {args.train_images}"
        )
    if args.resume and not (args.output / "backup").exists():
        raise ValueError(
            f"there is nothing to resume: {args.output / 'backup'} does not "
            "exist. Leave --resume out, or give the stopped run's --output."
        )
    from keras_aqe.cli import training

    converted, results = training.train(args)
    if not args.json:
        print(converted.report)
        print(f"Hard test accuracy: {results['test_accuracy']:.4f}")
        print(f"Written: {args.output}")
    return 0, results
