"""What values quantizers will see, and the scale that fits them best."""

import functools
import math
import statistics

import keras
import numpy as np

from keras_aqe import layers, quantizers
from keras_aqe.graph import Call
from keras_aqe.inference import WIDTH_KEEPING, is_identity
from keras_aqe.multiplying import MULTIPLYING

_COUNT = 4096
# Deviations of what a tensor usually holds, and of what it may.
SPREADS = (1.0, 1e6)
# Values that a scale is chosen by, at most.
_SAMPLE = 2**16
NORMALISATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
)
_POOLS = (
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
)
# These take each number alone, or add up numbers at the same place.
_ELEMENTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.Maximum,
    keras.layers.Minimum,
    keras.layers.Multiply,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.Subtract,
    layers.HardTanh,
    layers.QuantActivation,
    quantizers.Quantizer,
)


def normal(spread: float = 1.0) -> np.ndarray:
    """Quantiles of a normal distribution, shuffled, always the same.

    Args:
        spread: Its standard deviation.
    """
    return (spread * _standard_normal()).astype("float32")


@functools.cache
def _standard_normal():
    inverse = statistics.NormalDist().inv_cdf
    values = [inverse((n + 0.5) / _COUNT) for n in range(_COUNT)]
    return np.random.default_rng(0).permutation(values)


def assumed(call: Call, spread: float = 1.0) -> np.ndarray:
    """Guesses what a call returns, without data.

    Batch normalisation makes values of mean beta and standard deviation gamma,
    whatever comes in; activations, sums and the like are computed; what is
    not known is taken for normal values of variance 1.

    Args:
        call: The call, with flat arrays of what its tensors are thought to
            hold in their place.
        spread: How many times as far from the mean all values are. No sum,
            bias or beta keeps values of a large spread above 0, while a ReLU
            does.

    Returns:
        A flat array.
    """
    operation, samples = call.operation, call.values(np.ndarray)
    if isinstance(operation, MULTIPLYING):
        return _computed(operation.activation, [normal(spread)], spread)
    if isinstance(operation, keras.layers.Normalization):
        return normal(spread)
    if isinstance(operation, NORMALISATIONS):
        return _normalised(operation, spread)
    if len(samples) == 1 and isinstance(operation, (*WIDTH_KEEPING, *_POOLS)):
        return samples[0]
    if isinstance(operation, keras.layers.Concatenate):
        return _shuffled(np.concatenate(samples))
    if isinstance(operation, _ELEMENTWISE) or not isinstance(
        operation, keras.layers.Layer
    ):
        return _computed(operation, samples, spread, call)
    given = call.node.arguments
    if len(samples) == 1 and is_identity(operation, given.args, given.kwargs):
        return samples[0]
    return normal(spread)


def _normalised(layer, spread):
    def values(weight, default):
        if weight is None:
            return np.full(1, default, "float32")
        return np.ravel(keras.ops.convert_to_numpy(weight))

    gamma = values(layer.gamma, 1.0)
    beta = values(layer.beta, 0.0)
    rows = np.resize(normal(spread), (-(-_COUNT // len(gamma)), len(gamma)))
    return _shuffled(np.ravel(rows * gamma + beta))


def _shuffled(sample):
    return np.random.default_rng(1).permutation(sample)[: 4 * _COUNT]


def _computed(function, samples, spread, call=None):
    """What a function of numbers makes of samples; else normal values."""
    size = min(map(len, samples), default=0)
    # Each in an order of its own: sums are those of independent values.
    orders = [np.random.default_rng(n) for n in range(len(samples))]
    own = iter([o.permutation(s)[:size] for o, s in zip(orders, samples)])
    try:
        if call is None:
            result = function(next(own))
        else:
            call = call.map(
                lambda x: next(own) if isinstance(x, np.ndarray) else x
            )
            result = function(*call.args, **call.kwargs)
        result = keras.ops.convert_to_numpy(result)
    except Exception:  # noqa: BLE001
        # Whatever a function of images says of flat arrays.
        return normal(spread)
    if result.shape != (size,) or result.dtype.kind != "f":
        return normal(spread)
    return result


def thinned(values: np.ndarray) -> np.ndarray:
    """Every so many-th of some values, flat."""
    values = np.ravel(values)
    return values[:: -(-len(values) // _SAMPLE) or 1]


def best_scale(quantizer: quantizers.Quantizer, values: np.ndarray) -> float:
    """The power of two that brings a quantizer's levels nearest to values.

    Of all powers `s` around the root mean square of the values, the one of
    least `mean((s * h(x / s) - x)^2)`.

    Args:
        quantizer: A quantizer of scale 1 with fixed thresholds.
        values: Float array of any shape, finite.

    Returns:
        The scale; 1 where all values are 0.
    """
    values = np.asarray(values, "float32")
    root = math.sqrt(np.mean(np.square(values, dtype="float64")))
    if not 2.0**-24 < root < 2.0**24:
        return 1.0
    middle = round(math.log2(root))
    errors = []
    for power in range(middle - 5, middle + 6):
        scale = 2.0**power
        hard = keras.ops.convert_to_numpy(quantizer.hard(values / scale))
        error = np.mean(np.square(scale * hard - values, dtype="float64"))
        errors.append((error, scale))
    return min(errors)[1]
