"""What experiments change in a network and the package does not offer."""

import contextlib

import keras

import keras_aqe as aqe

# alpha as `(constant, slope)` of what stands before `h(x)` in the forward pass.
_FORWARD = {"blend": (0.0, 1.0), "hard": (1.0, 0.0)}
# The same for the factor of the gradient.
_FACTORS = {"2 alpha": (0.0, 2.0), "1": (1.0, 0.0), "1 - alpha": (1.0, -1.0)}
# How much of the gradient's shape is a triangle.
_SHAPES = {"flat": 0.0, "triangle": 1.0}


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
    return model


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
    """Returns the five numbers of each quantizer's estimator.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        model: A network of `build`.

    Returns:
        A list of the arguments that `estimator` takes, one a quantizer, in
        the order of `keras_aqe.callbacks.find`.
    """
    kernel_quantizers = {
        id(getattr(layer, "kernel_quantizer", None))
        for layer in model._flatten_layers()
    }
    if run["estimator"] == "aqe_ste":
        run = {**run, "estimator": "aqe", "gradient": "1"}
    found = []
    for quantizer in aqe.callbacks.find(model):
        kind = "kernels" if id(quantizer) in kernel_quantizers else "inputs"
        by_aqe = run["estimator"] == "aqe" and _choose(
            run, "aqe_for", {"all": True, kind: True}, ("inputs", "kernels")
        )
        shape = _choose(run, "input_gradient", _SHAPES)
        found.append(
            (
                *(_choose(run, "forward", _FORWARD) if by_aqe else (1.0, 0.0)),
                *(_choose(run, "gradient", _FACTORS) if by_aqe else (1.0, 0.0)),
                shape if kind == "inputs" else 0.0,
            )
        )
    return found


def _choose(run, name, values, others=()):
    """The value that a setting names; `others` name `None`."""
    if run[name] not in (*values, *others):
        raise ValueError(
            f"`{name}` must be one of {sorted({*values, *others})}. "
            f"Received: {name}={run[name]!r}"
        )
    return values.get(run[name])


def estimator(form):
    """Returns an estimator as a quantizer's `estimate`.

    Forward: `b * h(x) + (1 - b) * x` with `b = form[0] + form[1] * alpha`.
    Backward: `dL/dx = f * s * dL/dy * 1[|x| <= 1]` with
    `f = form[2] + form[3] * alpha` and `s = 1 + form[4] * (1 - 2 |x|)`.

    AQE is `(0, 1, 0, 2, 0)` and STE `(1, 0, 1, 0, 0)`, to the bit.

    Args:
        form: Five numbers, which may be traced.
    """

    def estimate(x, hard, alpha, limits=aqe.estimators.LIMITS):
        b0, b1, f0, f1, triangle = (keras.ops.cast(n, x.dtype) for n in form)
        alpha = keras.ops.cast(alpha, x.dtype)

        def forward(x, blend, factor, triangle):
            return blend * hard(x) + (1 - blend) * x

        def gradient(x, blend, factor, triangle, upstream):
            shape = 1 + triangle * (1 - 2 * keras.ops.abs(x))
            upstream = factor * shape * upstream
            return aqe.estimators.pass_inside(x, upstream, limits)

        return aqe.estimators.with_gradient(
            forward, gradient, x, b0 + b1 * alpha, f0 + f1 * alpha, triangle
        )

    return estimate


def decays(run, model):
    """Returns which trainable variables `weight_decay` is for, as 0 and 1."""
    chosen = _choose(
        run,
        "decayed",
        {"all": (0, 1), "latent": (1,), "other": (0,)},
    )
    latent = {
        id(variable)
        for layer in model._flatten_layers()
        if getattr(layer, "kernel_quantizer", None) is not None
        for variable in layer.trainable_variables
        if variable.constraint is not None
    }
    return [
        float((id(variable) in latent) in chosen)
        for variable in model.trainable_variables
    ]
