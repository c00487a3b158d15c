"""`keras-aqe check`."""

from keras_aqe.cli import inputs

HELP = "tell what of a model would not convert, and what each layer costs"
EXAMPLES = """\
examples:
  keras-aqe check model.keras
  keras-aqe check model.keras --target lce --no-strict
  keras-aqe check model.keras --json | jq .faults
"""


def add_arguments(parser):
    inputs.add_model(parser)
    inputs.add_conversion(parser)


def run(args):
    model = inputs.load_model(args)
    from keras_aqe import converters

    checked = converters.check(model, **inputs.conversion(args))
    if not args.json:
        print(checked)
    return int(not checked.ok), checked.to_dict()
