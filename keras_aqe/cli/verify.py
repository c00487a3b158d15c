"""`keras-aqe verify`."""

from keras_aqe.cli import inputs

HELP = "run a model and its converted file on the same inputs and compare"
EXAMPLES = """\
examples:
  keras-aqe verify model.keras model.tflite
  keras-aqe verify model.keras model.tflite --data images.npy
"""


def add_arguments(parser):
    inputs.add_model(parser)
    parser.add_argument("file", help="the .tflite file of the model")
    inputs.add_examples(parser)


def run(args):
    model = inputs.load_model(args)
    from keras_aqe import converters

    verification = converters.verify(
        model,
        args.file,
        inputs.examples(args, model.inputs),
        verbose=int(inputs.shows_progress(args)),
    )
    if not args.json:
        print(verification)
    return int(not verification.faultless), verification.to_dict()
