"""`keras-aqe describe`."""

HELP = "print the layers of a converted file, and totals"
EXAMPLES = """\
examples:
  keras-aqe describe model.tflite
"""


def add_arguments(parser):
    parser.add_argument("file", help="a .tflite file that keras-aqe wrote")


def run(args):
    from keras_aqe import converters

    report = converters.report(args.file)
    if not args.json:
        print(f"keras-aqe {report.version}, target {report.target!r}")
        print(report)
    return 0, report.to_dict()
