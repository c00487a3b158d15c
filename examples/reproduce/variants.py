"""What experiments change in a network and the package does not offer."""

import contextlib

import keras

import keras_aqe as aqe

# alpha as `(constant, slope)` of what stands before `h(x)` in the forward pass.
_FORWARD = {"blend": (0.0, 1.0), "hard": (1.0, 0.0)}
# The same for the factor of the gradient.
_FACTORS = {"2 alpha": (0.0, 2.0), "1": (1.0, 0.0), "1 - alpha": (1.0, -1.0)}
# Below this magnitude the power's gradient, which has a pole at 0, is constant.
_POLE = 0.1


def _triangle(x, alpha):
    return 2 - 2 * keras.ops.abs(x)


def _power(x, alpha):
    """The derivative of `sign(x) |x|^(1 / o)`, `o` from 1 to 3 with alpha."""
    power = 1 / (1 + 2 * alpha)
    size = keras.ops.abs(x)
    outside = power * keras.ops.maximum(size, _POLE) ** (power - 1)
    return keras.ops.where(size < _POLE, _POLE ** (power - 1), outside)


# What the gradient is multiplied with, of the input and alpha.
SHAPES = {"flat": None, "triangle": _triangle, "power": _power}


def build(run, image_shape, classes):
    """Returns the network of a run, not trained and not compiled."""
    with _policy(run["dtype"]):
        model = getattr(aqe.models, run["network"])(
            input_bits=run["bits"][0],
            weight_bits=run["bits"][1],
            input_shape=image_shape,
            classes=classes,
            estimator=run["estimator"],
            stochastic=run["stochastic"],
            **run["network_arguments"],
        )
    if run["dtype"] != "float32":
        # The loss is of float32 logits.
        model.layers[-1].dtype_policy = keras.DTypePolicy("float32")
    set_thresholds(model, run)
    if run["kernel_constraint"] is not None:
        for variable in _latent(model):
            variable.constraint = Standardized(
                variable.constraint, **run["kernel_constraint"]
            )
    return model


class Standardized(keras.constraints.Constraint):
    """Standardizes each filter: `s * (W - mean(W)) / std(W)`, then clipped.

    Hard kernels are those of the latent weights, so that nothing is left of it
    in a file.

    Args:
        clip: The constraint that the layer had.
        deviation: Float `s`.
    """

    def __init__(self, clip, deviation):
        self.clip = clip
        self.deviation = deviation

    def __call__(self, w):
        axes = tuple(range(len(w.shape) - 1))
        w = w - keras.ops.mean(w, axes, keepdims=True)
        deviation = keras.ops.std(w, axes, keepdims=True)
        return self.clip(
            w * (self.deviation / (deviation + keras.config.epsilon()))
        )


def set_thresholds(model, run):
    """Gives the quantizers of a model the thresholds of a run."""
    for quantizer in aqe.callbacks.find(model):
        if isinstance(quantizer, aqe.quantizers.PowerOfTwo):
            kind = "kernel" if quantizer.relative else "input"
            if run[f"{kind}_thresholds"] is not None:
                quantizer.thresholds = tuple(run[f"{kind}_thresholds"]["at"])


@contextlib.contextmanager
def _policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def forms(run, model):
    """Returns the four numbers of each quantizer's estimator.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        model: A network of `build`.

    Returns:
        A list of the `form` that `estimator` takes, one a quantizer, in the
        order of `keras_aqe.callbacks.find`.
    """
    if run["estimator"] == "aqe_ste":
        run = {**run, "estimator": "aqe", "gradient": "1"}
    found = []
    for kind in _kinds(model):
        by_aqe = run["estimator"] == "aqe" and _choose(
            run, "aqe_for", {"all": True, kind: True}, ("inputs", "kernels")
        )
        found.append(
            (
                *(_choose(run, "forward", _FORWARD) if by_aqe else (1.0, 0.0)),
                *(_choose(run, "gradient", _FACTORS) if by_aqe else (1.0, 0.0)),
            )
        )
    return found


def shapes(run, model):
    """Returns the shape of each quantizer's gradient, names of `SHAPES`."""
    of_kinds = {}
    for kind in ("input", "kernel"):
        name = f"{kind}_gradient"
        _choose(run, name, SHAPES)
        of_kinds[f"{kind}s"] = run[name]
    return [of_kinds[kind] for kind in _kinds(model)]


def _kinds(model):
    """What each quantizer is for, "inputs" or "kernels"."""
    kernel_quantizers = {
        id(getattr(layer, "kernel_quantizer", None))
        for layer in model._flatten_layers()
    }
    return [
        "kernels" if id(quantizer) in kernel_quantizers else "inputs"
        for quantizer in aqe.callbacks.find(model)
    ]


def _choose(run, name, values, others=()):
    """The value that a setting names; `others` name `None`."""
    if run[name] not in (*values, *others):
        raise ValueError(
            f"`{name}` must be one of {sorted({*values, *others})}. "
            f"Received: {name}={run[name]!r}"
        )
    return values.get(run[name])


def estimator(form, shape="flat"):
    """Returns an estimator as a quantizer's `estimate`.

    Forward: `b * h(x) + (1 - b) * x` with `b = form[0] + form[1] * alpha`.
    Backward: `dL/dx = f * s(x) * dL/dy * 1[|x| <= 1]` with
    `f = form[2] + form[3] * alpha` and the shape `s`: 1 if it is flat,
    `2 - 2 |x|` as a triangle (Liu et al., 2018), and as a power the
    derivative of `sign(x) |x|^(1 / o)`, `o = 1 + 2 * alpha` (Wu et al., 2023).

    AQE is `(0, 1, 0, 2)` and STE `(1, 0, 1, 0)`, to the bit.

    Args:
        form: Four numbers, which may be traced.
        shape: A name of `SHAPES`.
    """

    def estimate(x, hard, alpha, limits=aqe.estimators.LIMITS):
        b0, b1, f0, f1 = (keras.ops.cast(n, x.dtype) for n in form)
        alpha = keras.ops.cast(alpha, x.dtype)

        def forward(x, blend, factor, alpha):
            return blend * hard(x) + (1 - blend) * x

        def gradient(x, blend, factor, alpha, upstream):
            upstream = factor * upstream
            if SHAPES[shape] is not None:
                upstream = SHAPES[shape](x, alpha) * upstream
            return aqe.estimators.pass_inside(x, upstream, limits)

        return aqe.estimators.with_gradient(
            forward, gradient, x, b0 + b1 * alpha, f0 + f1 * alpha, alpha
        )

    return estimate


def decays(run, model):
    """Returns which trainable variables `weight_decay` is for, as 0 and 1."""
    chosen = _choose(
        run,
        "decayed",
        {"all": (0, 1), "latent": (1,), "other": (0,)},
    )
    latent = {id(variable) for variable in _latent(model)}
    return [
        float((id(variable) in latent) in chosen)
        for variable in model.trainable_variables
    ]


def _latent(model):
    """Latent kernels: of a quantized layer's variables they are constrained."""
    return [
        variable
        for layer in model._flatten_layers()
        if getattr(layer, "kernel_quantizer", None) is not None
        for variable in layer.trainable_variables
        if variable.constraint is not None
    ]
