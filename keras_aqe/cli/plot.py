"""`keras-aqe plot`."""

import contextlib
import json
import pathlib

from keras_aqe.cli.inputs import UsageError, add_import, load_model

HELP = "draw the curves of training runs, or the kernels of a model"
EXAMPLES = """\
examples:
  keras-aqe plot runs/d11 runs/d22 --output curves.png
  keras-aqe plot runs/d11 --metric val_accuracy --metric alpha
  keras-aqe plot runs/d11/model.keras --layer conv2 --output conv2.png
"""


def add_arguments(parser):
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        type=pathlib.Path,
        metavar="FILE",
        help="folders or results.json of `keras-aqe train`, or one .keras",
    )
    add(
        "--metric",
        action="append",
        dest="metrics",
        help="of the curves; may be repeated (default: accuracy and loss)",
    )
    add(
        "--layer",
        action="append",
        dest="layers",
        help="of the model; may be repeated (default: the first four)",
    )
    add("--output", default="plot.png", help="(default: plot.png)")
    add_import(parser)


def run(args):
    is_model = args.files[0].suffix == ".keras"
    if is_model and len(args.files) > 1:
        raise UsageError("the kernels of one .keras file are drawn at a time")
    figure, drawn = (_kernels if is_model else _curves)(args)
    from keras_aqe.files import write_whole

    write_whole(args.output, figure.savefig)
    if not args.json:
        print(f"Written: {args.output}")
    return 0, {"output": args.output, "drawn": drawn}


def _curves(args):
    from keras_aqe import plots

    histories = {
        str(path if path.is_dir() else path.parent): _history(path)
        for path in args.files
    }
    metrics = args.metrics or ["val_accuracy", "val_loss"]
    return plots.training_curves(histories, metrics), list(histories)


def _history(path):
    path = path / "results.json" if path.is_dir() else path
    text = path.read_bytes()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return dict(json.loads(text)["history"])
    raise ValueError(
        f"{path} has no history: it is no result of `keras-aqe train`, nor a "
        ".keras file."
    )


def _kernels(args):
    import keras

    from keras_aqe import plots
    from keras_aqe.layers.quantized import Quantized

    (path,) = args.files
    model = load_model(args, path)
    kernels = {
        layer.name: keras.ops.convert_to_numpy(getattr(layer, name))
        for layer in model._flatten_layers()
        if isinstance(layer, Quantized) and layer.kernel_quantizer is not None
        for name in layer.kernel_constraints
    }
    if not kernels:
        raise ValueError(f"{path} has no layer with a quantized kernel")
    names = args.layers or list(kernels)[:4]
    for name in names:
        if name not in kernels:
            raise ValueError(
                f"the model has no layer {name!r} with a quantized kernel. It "
                f"has {', '.join(kernels)}."
            )
    chosen = {name: kernels[name] for name in names}
    return plots.blend_histograms(chosen, xlabel="latent weight"), names
