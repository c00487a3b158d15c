"""Networks of mixed precision, made float32 ones."""

import keras

from keras_aqe import quantizers
from keras_aqe.cloning import clone
from keras_aqe.graph import functional
from keras_aqe.layers.quantized import QUANTIZER_ARGUMENTS


def to_float32(model: keras.Model) -> keras.Model:
    """Returns a copy of a model that computes in float32.

    For models trained under `mixed_float16`, `mixed_bfloat16` or another
    policy: weights, alphas, names and shared layers and quantizers are those
    of the model, only the policies differ. Mixed precision keeps its weights
    in float32, so the copy is the same network with exact sums; its outputs
    differ from the model's by the rounding to 16 bits that it leaves out, and
    codes where a value is that near to a threshold. Measure the copy, since
    it is what `keras_aqe.converters.convert` writes.

    Args:
        model: A built Functional or Sequential model; nested ones are copied
            too. It is left as it is.

    Returns:
        A model of the same kind, not compiled.

    Raises:
        ValueError: If the model is not built, or not Functional or
            Sequential.

    Example:

    ```pycon
    >>> layer = aqe.layers.QuantDense(
    ...     2, kernel_quantizer="binary", dtype="mixed_bfloat16"
    ... )
    >>> model = keras.Sequential([keras.Input((4,)), layer])
    >>> to_float32(model).layers[0].compute_dtype
    'float32'

    ```
    """
    functional(model, "to_float32")
    copies = {}

    def copy(layer):
        if id(layer) not in copies:
            config = _in_float32(layer.get_config())
            for name in QUANTIZER_ARGUMENTS:
                quantizer = getattr(layer, name, None)
                if isinstance(quantizer, quantizers.Quantizer):
                    config[name] = copy(quantizer)
            copies[id(layer)] = layer, type(layer).from_config(config)
        return copies[id(layer)][1]

    result = clone(model, copy)
    for layer, copied in copies.values():
        if not isinstance(layer, keras.layers.Layer):
            continue  # A function of `keras.ops`.
        for variable, value in zip(copied.variables, layer.variables):
            variable.assign(keras.ops.convert_to_numpy(value))
    for layer in result._flatten_layers():
        if isinstance(layer, keras.Model):
            # It took the policy that is set now.
            layer.dtype_policy = "float32"
    return result


def _in_float32(config):
    """A config with policies of other float types replaced."""
    if isinstance(config, (list, tuple)):
        return type(config)(map(_in_float32, config))
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        policy = keras.saving.deserialize_keras_object(config)
        is_float = keras.backend.is_float_dtype(policy.compute_dtype)
        return "float32" if is_float else config
    return {key: _in_float32(value) for key, value in config.items()}
