"""What layers do at inference, found by tracing them."""

import keras

from keras_aqe import backend
from keras_aqe.layers import HardTanh

# What deep networks have most of without weights: layers, whatever their
# arguments are, and functions of `Activation`. Tracing each would take seconds.
_COMPUTING = {
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    HardTanh,
}
_COMPUTING_FUNCTIONS = {
    keras.activations.elu,
    keras.activations.gelu,
    keras.activations.hard_sigmoid,
    keras.activations.hard_silu,
    keras.activations.hard_tanh,
    keras.activations.relu,
    keras.activations.relu6,
    keras.activations.sigmoid,
    keras.activations.silu,
    keras.activations.softmax,
    keras.activations.tanh,
}
# These only move, repeat or drop elements of a quantized tensor.
# The zeros of padding count as those of padding="same" do.
WIDTH_KEEPING = (
    keras.layers.Concatenate,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.Flatten,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Reshape,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    HardTanh,
)


def is_identity(operation, args, kwargs=None):
    """Returns whether a call returns its one tensor as it is at inference.

    Found by what the call traces to and not by the class, so dropout, noise
    and every augmentation count, those of a user too, as long as nothing at
    all is computed.

    Args:
        operation: A layer or another `keras.Operation`, built.
        args: Arguments of the call, `keras.KerasTensor` for tensors.
        kwargs: Keyword arguments of the call, likewise.

    Example:

    ```pycon
    >>> image = keras.KerasTensor((None, 8, 8, 3))
    >>> is_identity(keras.layers.RandomFlip(), (image,))
    True
    >>> is_identity(keras.layers.Rescaling(0.5), (image,))
    False

    ```
    """
    kwargs = kwargs or {}
    tensors = [
        value
        for value in keras.tree.flatten((args, kwargs))
        if isinstance(value, keras.KerasTensor)
    ]
    if (
        len(tensors) != 1
        or getattr(operation, "weights", ())
        or _computes(operation)
    ):
        return False
    (source,) = tensors

    def infer(x):
        given, named = keras.tree.map_structure(
            lambda value: x if value is source else value, (args, kwargs)
        )
        if getattr(operation, "_call_has_training_arg", False):
            named = {**named, "training": False}
        return operation(*given, **named)

    return backend.returns_argument(infer, source)


def _computes(operation):
    """Whether it is known to compute something without being traced."""
    if "call" in vars(operation):
        return False
    if type(operation) is keras.layers.Activation:
        return any(operation.activation is f for f in _COMPUTING_FUNCTIONS)
    return type(operation) in _COMPUTING
