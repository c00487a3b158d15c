"""First weights from a trained, narrower network: Model A from Model D.

Source: Chen et al., 2016, "Net2Net: Accelerating Learning via Knowledge
Transfer", with every unit repeated equally often.
"""

import keras
import numpy as np

import keras_aqe as aqe


def widen(model, source, noise=0.0, seed=0):
    """Gives a model the function of a narrower one.

    Each unit of the narrower network becomes `r` equal ones, so that the sums
    of the next layer are `r` times as large, which its batch normalisation
    takes out again: its moving mean is multiplied by `r` and its moving
    variance by `r^2`. Codes and thresholds stay what they were, and logits do
    but for the share of batch normalisation's epsilon.

    Latent kernels are multiplied by random numbers from `[1 - noise,
    1 + noise]`. Without noise equal units have equal gradients and stay equal.

    Args:
        model: A chain of layers, whose weights are replaced.
        source: A chain of as many layers, built by the same function, whose
            units are as many or fewer by a whole number.
        noise: In [0, 1).
        seed: Of the noise.

    Raises:
        ValueError: If a layer of the model is no multiple of the source's.
    """
    rng = np.random.default_rng(seed)
    gain = 1
    pairs = zip(_with_weights(model), _with_weights(source), strict=True)
    for wide, narrow in pairs:
        if isinstance(narrow, keras.layers.BatchNormalization):
            _repeat(wide, narrow, "gamma", 1)
            _repeat(wide, narrow, "beta", 1)
            _repeat(wide, narrow, "moving_mean", gain)
            _repeat(wide, narrow, "moving_variance", gain**2)
            gain = 1
        else:
            shape = wide.kernel.shape
            spread = rng.uniform(1 - noise, 1 + noise, shape)
            gain *= shape[-2] // narrow.kernel.shape[-2]
            _repeat(wide, narrow, "kernel", spread)


def start(model, run):
    """Gives a model the first weights that the `widened` of its run names."""
    if run["widened"] is None:
        return
    name = "{}-{}-{}".format(run["widened"]["network"], *run["bits"])
    source = aqe.models.load_pretrained(name)
    widen(model, source, run["widened"]["noise"], run["seed"])


def _with_weights(model):
    return [
        layer
        for layer in model.layers
        if hasattr(layer, "kernel")
        or isinstance(layer, keras.layers.BatchNormalization)
    ]


def _repeat(wide, narrow, name, factor):
    variable = getattr(wide, name)
    value = keras.ops.convert_to_numpy(getattr(narrow, name))
    if len(variable.shape) != value.ndim or any(
        new % old for new, old in zip(variable.shape, value.shape)
    ):
        raise ValueError(
            f"{name!r} of layer {wide.name!r} must be a whole number of times "
            f"as wide as that of {narrow.name!r}, {value.shape}. "
            f"Received: {tuple(variable.shape)}"
        )
    for axis, new in enumerate(variable.shape):
        value = np.repeat(value, new // value.shape[axis], axis)
    variable.assign(value * factor)
