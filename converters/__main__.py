"""`keras-aqe describe FILE`: what a converted file holds."""

import argparse
import sys

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.report import report


def main():
    parser = argparse.ArgumentParser(prog="keras-aqe")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    describe = commands.add_parser(
        "describe", help="print the layers of a converted file, and totals"
    )
    describe.add_argument("file", help="a .tflite file that keras-aqe wrote")
    arguments = parser.parse_args()
    try:
        rows = report(arguments.file)
    except (ConversionError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    print(f"keras-aqe {rows.version}, target {rows.target!r}")
    print(rows)


if __name__ == "__main__":
    main()
