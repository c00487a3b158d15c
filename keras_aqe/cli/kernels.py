"""`keras-aqe kernels`."""

HELP = "print the kernels of the runtime and which of them can run here"
EXAMPLES = """\
examples:
  keras-aqe kernels
  KERAS_AQE_CPU_FEATURES=avx2 keras-aqe kernels
"""


def add_arguments(parser):
    del parser


def run(args):
    from keras_aqe import runtime

    features, rows = runtime.kernels()
    if not args.json:
        runtime.describe()
    return 0, {"features": features.split(","), "kernels": rows}
