"""What several subcommands are given: models, targets, examples."""

import argparse
import importlib
import math
import pathlib
import sys

TARGETS = ("packed", "lce", "tflite")


class UsageError(ValueError):
    """Arguments that do not go together, or have no meaning here."""


def add_model(parser):
    """Adds a model and what is needed to read it."""
    parser.add_argument("model", help="a .keras file")
    add_import(parser)


def add_import(parser):
    """Adds what is needed to read a model."""
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers layers of the model; may be repeated",
    )


def add_conversion(parser):
    """Adds what `convert` and `check` are asked for."""
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default="packed",
        help="what the file is for (default: packed)",
    )
    parser.add_argument(
        "--no-strict",
        dest="strict",
        action="store_false",
        help="accept quantized layers that would run in float",
    )
    parser.add_argument(
        "--compact",
        action="store_true",
        help="kernels of 2 and 4 bits in dense layers, for tflite",
    )
    parser.add_argument(
        "--allow-soft",
        action="store_true",
        help="convert a model whose training stopped below alpha = 1",
    )


def conversion(args):
    """The arguments of `convert` that these are."""
    return {
        "target": args.target,
        "strict": args.strict,
        "compact": args.compact,
        "allow_soft": args.allow_soft,
        "verbose": int(shows_progress(args)),
    }


def add_examples(parser):
    """Adds the inputs that a model is run on."""
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        metavar="FILE",
        help="inputs: .npy, or .npz with an array for each input; without it, "
        "random ones",
    )
    parser.add_argument(
        "--examples",
        type=positive,
        default=32,
        help="number of random inputs (default: 32)",
    )
    parser.add_argument("--seed", type=int, default=0)


def positive(text):
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least 1")
    return int(text)


def above_zero(text):
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def shows_progress(args):
    """Whether somebody is there to see a progress bar."""
    return not args.json and sys.stderr.isatty()


def load_model(args, model=None):
    """The Keras model of `add_model`, or of another path."""
    path = pathlib.Path(model or args.model)
    # Before the imports, which take seconds.
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder, not a .keras file")
    import zipfile

    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ValueError(
            f"{str(path)!r} is not a model that Keras can load: it is no .zip "
            "archive, which a .keras file is."
        )
    for module in args.modules:
        _import(module)
    import keras

    # Keras finds our classes in a file only once they are imported.
    import keras_aqe  # noqa: F401

    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        # Whatever Keras says of a file that is damaged, or of something else.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{str(path)!r} is not a model that Keras can load: {lines[0]} "
            "Layers of your own are registered by --import MODULE."
        ) from error


def _import(module):
    try:
        importlib.import_module(module)
    except Exception as error:
        raise ImportError(
            f"--import {module} failed: {type(error).__name__}: {error}"
        ) from error


def examples(args, tensors):
    """The inputs of `add_examples` for some inputs of a model.

    Args:
        args: The arguments.
        tensors: Keras tensors.
    """
    import numpy as np

    if args.data is not None:
        return loaded(args.data, tensors)
    rng = np.random.default_rng(args.seed)
    arrays = []
    for tensor in tensors:
        shape = (args.examples, *(size or 1 for size in tensor.shape[1:]))
        if np.issubdtype(tensor.dtype, np.integer):
            arrays.append(rng.integers(0, 128, shape).astype(tensor.dtype))
        else:
            arrays.append(rng.normal(size=shape).astype(tensor.dtype))
    return arrays if len(arrays) > 1 else arrays[0]


def loaded(path, tensors):
    """The arrays of a file, as a model of some inputs takes them."""
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        names = [tensor.name for tensor in tensors]
        # By name where the arrays have the names of the inputs.
        chosen = names if {*names} <= {*found} else list(found)
        arrays = [found[name] for name in chosen]
    except OSError:
        raise
    except Exception as error:
        # NumPy takes what it does not know for a pickle.
        raise ValueError(
            f"{path} is not a .npy or .npz file that can be read: {error}"
        ) from error
    if len(arrays) < len(tensors):
        raise ValueError(
            f"{path} has {len(arrays)} arrays, and the model takes "
            f"{len(tensors)}: {', '.join(names)}"
        )
    return arrays if len(tensors) > 1 else arrays[0]
