import contextlib
import re

from keras_aqe_runtime.errors import ConversionError


class FloatLayerError(ConversionError):
    """A quantized layer would run in float, which `strict` does not allow."""


def raising(error):
    """What is done with an error unless all are to be listed."""
    raise error


def raise_all(errors):
    """Raises the first of some errors, if there are any, with the others.

    Args:
        errors: `ConversionError`s. Of equal messages, one counts.
    """
    first, *others = {str(error): error for error in errors}.values() or [None]
    if first is not None:
        first.more = tuple(others)
        raise first


@contextlib.contextmanager
def naming(layer):
    """Names a layer in whatever error is raised while it is converted.

    Args:
        layer: A Keras layer or operation, or a node that comes from one.
    """
    try:
        yield
    except ConversionError as error:
        error.layer = error.layer or layer.name
        raise
    except Exception as error:
        raise unconvertible(error, layer.name) from error


def unconvertible(error, layer=None):
    """The error of a model that TensorFlow or Keras gives up on.

    Args:
        error: What they raised.
        layer: Name of the layer that they were at, if it is known.
    """
    subject = "The model" if layer is None else f"Layer {layer!r}"
    text = str(error)
    # In this form TensorFlow's converter lists what is in no builtin operator.
    missing = re.findall(r"'tf\.(\w+)' op", text)
    if missing:
        reason = (
            f"it needs {', '.join(sorted(set(missing)))} of TensorFlow, which "
            ".tflite files do not have in this form. Use another layer"
        )
    else:
        # Keras says first where, and puts the message itself in bold.
        _, _, bold = text.partition("\x1b[1m")
        lines = [line.strip() for line in (bold or text).splitlines()]
        first = next(filter(None, lines), "without a message")
        first = first.replace("\x1b[0m", "")[:200].rstrip(".")
        reason = f"{type(error).__name__}: {first}"
    return ConversionError(f"{subject} cannot be converted: {reason}.", layer)


def other_types(inputs):
    """A sentence on inputs that are not float32; empty if there are none.

    Args:
        inputs: Pairs of name and dtype.
    """
    others = [
        f"{name!r} ({dtype})" for name, dtype in inputs if dtype != "float32"
    ]
    if not others:
        return ""
    return (
        f" Few layers compute in other types than float32, and not all inputs "
        f"are: {', '.join(others)}. Give them that dtype, or put "
        "`keras.layers.Rescaling(1.0)` behind them."
    )
