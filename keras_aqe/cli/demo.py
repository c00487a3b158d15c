"""`keras-aqe demo`."""

import pathlib

from keras_aqe.cli.inputs import positive

HELP = "train 1-bit weights and activations on scanned digits, convert, run"
EXAMPLES = """\
examples:
  keras-aqe demo                       # no data is downloaded
  keras-aqe demo --epochs 4 --output demo
  keras-aqe demo --dataset cifar10     # through tensorflow-datasets
"""


def add_arguments(parser):
    add = parser.add_argument
    add("--dataset", choices=["digits", "cifar10"], default="digits")
    add("--data-dir", help="where tensorflow-datasets keeps CIFAR-10")
    add(
        "--images",
        type=positive,
        default=5000,
        help="training images of CIFAR-10 (default: 5000)",
    )
    add("--epochs", type=positive, default=8, help="(default: 8)")
    add("--seed", type=int, default=1)
    add(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("demo_output"),
        help="folder for the files (default: demo_output)",
    )


def run(args):
    from keras_aqe.cli import demonstration

    return 0, demonstration.run(args)
