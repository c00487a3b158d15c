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
    path = pathlib.Path(args.model)
    output = pathlib.Path(args.output or path.with_suffix(".tflite"))
    if output.resolve() == path.resolve():
        raise inputs.UsageError(f"{output} is the model; name another file")
    model = inputs.load_model(args)
    from keras_aqe import converters

    try:
        converted = converters.convert(model, **inputs.conversion(args))
    except converters.ConversionError as error:
        if not args.json:
            print(f"{error}\n`keras-aqe check` lists all faults.")
        return 1, {"ok": False, "error": str(error)}
    converted.save(output)
    if not args.json:
        print(converted.report)
        print(f"Written: {output}")
    return 0, {"ok": True, "output": str(output), **converted.to_dict()}
