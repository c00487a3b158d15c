"""`keras-aqe quantize`."""

import argparse
import pathlib

from keras_aqe.cli import inputs

HELP = "make the quantized twin of a float model, with its weights"
EXAMPLES = """\
examples:
  keras-aqe quantize float.keras twin.keras --input-bits 2 --weight-bits 2
  keras-aqe quantize float.keras twin.keras --skip 'block1_*' --skip logits
  keras-aqe quantize float.keras twin.keras --override 'conv2=4,2'

The twin is to be trained on with `keras_aqe.callbacks.AlphaScheduler`.
"""
_WIDTHS = [1, 2, 3, 4, 8, 16, 32]


def add_arguments(parser):
    inputs.add_model(parser)
    add = parser.add_argument
    add("output", type=_output, help="the .keras file to write")
    add("--input-bits", type=int, default=2, choices=_WIDTHS)
    add("--weight-bits", type=int, default=2, choices=_WIDTHS)
    add(
        "--first-last-bits",
        type=int,
        choices=_WIDTHS,
        default=32,
        help="of the first and the last layers (default: 32, float)",
    )
    add(
        "--depthwise-bits",
        type=_bits,
        default=(8, 4),
        metavar="BITS",
        help="that depthwise layers have at least, one width or "
        "'INPUT,WEIGHT' (default: 8,4; 1: as all others)",
    )
    add(
        "--skip",
        action="append",
        default=[],
        metavar="NAME",
        help="a layer, or a pattern, that stays float; may be repeated",
    )
    add(
        "--override",
        action="append",
        default=[],
        type=_override,
        metavar="NAME=BITS",
        help="a layer, or a pattern, of its own width, or of widths "
        "'INPUT,WEIGHT'; may be repeated",
    )
    add(
        "--data",
        type=pathlib.Path,
        metavar="FILE",
        help="training examples, .npy or .npz, by which the scales of inputs "
        "are measured",
    )
    add("--estimator", choices=["aqe", "aqe_ste", "ste"], default="aqe_ste")


def _output(text):
    if pathlib.Path(text).suffix != ".keras":
        raise argparse.ArgumentTypeError(f"{text!r} does not end with .keras")
    return text


def _bits(text):
    try:
        bits = tuple(int(width) for width in text.split(","))
    except ValueError:
        bits = ()
    if len(bits) not in (1, 2):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not BITS or INPUT,WEIGHT"
        )
    if not {*bits} <= {*_WIDTHS}:
        raise argparse.ArgumentTypeError(
            f"{text!r}: a width is one of {', '.join(map(str, _WIDTHS))}"
        )
    return bits if len(bits) == 2 else bits[0]


def _override(text):
    name, _, widths = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=BITS or NAME=INPUT,WEIGHT"
        )
    return name, _bits(widths)


def run(args):
    model = inputs.load_model(args)
    import keras_aqe as aqe
    from keras_aqe.files import write_whole

    twin = aqe.quantize_model(
        model,
        args.input_bits,
        args.weight_bits,
        first_last_bits=args.first_last_bits,
        depthwise_bits=args.depthwise_bits,
        skip=args.skip,
        overrides=dict(args.override),
        data=inputs.loaded(args.data, model.inputs) if args.data else None,
        estimator=args.estimator,
    )
    write_whole(args.output, twin.save)
    report = twin.quantization_report
    if not args.json:
        print(report)
        print(f"Written: {args.output}")
    return 0, {
        "output": args.output,
        "quantized": [row.path for row in report.quantized],
        "macs_by_operation": aqe.summary(
            twin, print_fn=lambda text: None
        ).macs_by_operation,
    }
