"""`keras-aqe convert`."""

import pathlib

from keras_aqe.cli import inputs

HELP = "convert a trained model to a .tflite file"
EXAMPLES = """\
examples:
  keras-aqe convert model.keras
  keras-aqe convert model.keras model-lce.tflite --target lce
"""


def add_arguments(parser):
    inputs.add_model(parser)
    parser.add_argument(
        "output",
        nargs="?",
        help="the .tflite file to write (default: beside the model)",
    )
    inputs.add_conversion(parser)


def run(args):
    model = inputs.load_model(args)
    from keras_aqe import converters

    try:
        converted = converters.convert(model, **inputs.conversion(args))
    except converters.ConversionError as error:
        if not args.json:
            print(f"{error}\n`keras-aqe check` lists all faults.")
        return 1, {"ok": False, "error": str(error)}
    output = args.output or str(pathlib.Path(args.model).with_suffix(".tflite"))
    converted.save(output)
    if not args.json:
        print(converted.report)
        print(f"Written: {output}")
    return 0, {"ok": True, "output": output, **converted.to_dict()}
