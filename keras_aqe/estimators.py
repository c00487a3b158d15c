"""Gradient estimators: how a hard quantizer is trained through."""

import keras

from keras_aqe import backend
from keras_aqe.backend import Function, Tensor, with_gradient

__all__ = ["aqe", "aqe_ste", "get", "ste"]

# Where the gradient passes: the range of the paper's levels.
LIMITS = (-1.0, 1.0)


def aqe(
    x: Tensor,
    hard: Function,
    alpha: Tensor | float,
    limits: tuple[float, float] = LIMITS,
) -> Tensor:
    """Asymptotic-Quantized Estimator.

    Forward: `alpha * h(x) + (1 - alpha) * x`.
    Backward: `dL/dx = 2 * alpha * dL/dy * 1[low <= x <= high]`, in the paper
    `1[|x| <= 1]`.

    At `alpha = 1/2` the gradient is the straight-through estimator's; as
    `alpha` tends to 1 the output tends to `h(x)`.

    Args:
        x: Float tensor of any shape.
        hard: Function `h`, from `x` to a tensor of its shape and dtype. No
            gradient flows into it.
        alpha: Float scalar in (0, 1].
        limits: `low` and `high`, the range of the levels.

    Returns:
        A tensor of the shape and dtype of `x`.

    Source: Chen et al., 2020, Eq. 6, 13, 18 and 19.

    Example:

    ```pycon
    >>> y = aqe(np.array([-2.0, -0.5, 0.5], "float32"), keras.ops.sign, 0.5)
    >>> keras.ops.convert_to_numpy(y)
    array([-1.5 , -0.75,  0.75], dtype=float32)

    ```
    """

    def gradient(x, alpha, upstream):
        return pass_inside(x, 2 * alpha * upstream, limits)

    return with_gradient(_blend(hard), gradient, *_cast(x, alpha))


def aqe_ste(
    x: Tensor,
    hard: Function,
    alpha: Tensor | float,
    limits: tuple[float, float] = LIMITS,
) -> Tensor:
    """AQE's output with the gradient of the straight-through estimator.

    Forward: `alpha * h(x) + (1 - alpha) * x`.
    Backward: `dL/dx = dL/dy * 1[low <= x <= high]`.

    AQE without its factor `2 * alpha`. Behind one another the factors of
    many quantizers multiply: at `alpha = 1` a gradient through `k` of them
    would be `2^k` times as large as one that takes shortcuts around them. So
    it is for deep networks, in which `docs/learning_rate.md` compares the two.

    Args:
        x: Float tensor of any shape.
        hard: Function `h`, from `x` to a tensor of its shape and dtype. No
            gradient flows into it.
        alpha: Float scalar in (0, 1].
        limits: `low` and `high`, the range of the levels.

    Returns:
        A tensor of the shape and dtype of `x`.

    Source: the output is Chen et al., 2020, Eq. 18, the gradient Courbariaux
    et al., 2016.

    Example:

    ```pycon
    >>> y = aqe_ste(np.array([-0.5, 0.5], "float32"), keras.ops.sign, 0.5)
    >>> keras.ops.convert_to_numpy(y)
    array([-0.75,  0.75], dtype=float32)

    ```
    """
    return with_gradient(
        _blend(hard), _straight_through(limits), *_cast(x, alpha)
    )


def ste(
    x: Tensor,
    hard: Function,
    alpha: Tensor | float,
    limits: tuple[float, float] = LIMITS,
) -> Tensor:
    """Straight-through estimator, the baseline that AQE is compared with.

    Forward: `h(x)`. Backward: `dL/dx = dL/dy * 1[low <= x <= high]`.

    Args:
        x: Float tensor of any shape.
        hard: Function `h`, from `x` to a tensor of its shape and dtype. No
            gradient flows into it.
        alpha: Not used; here so that both estimators are called alike.
        limits: `low` and `high`, the range of the levels.

    Returns:
        `h(x)`.

    Source: Courbariaux et al., 2016; Chen et al., 2020, Theorem 1.

    Example:

    ```pycon
    >>> y = ste(np.array([-2.0, -0.5, 0.5], "float32"), keras.ops.sign, 0.5)
    >>> keras.ops.convert_to_numpy(y)
    array([-1., -1.,  1.], dtype=float32)

    ```
    """

    def forward(x, alpha):
        return hard(x)

    return with_gradient(forward, _straight_through(limits), *_cast(x, alpha))


_ESTIMATORS = {"aqe": aqe, "aqe_ste": aqe_ste, "ste": ste}


def get(name: str) -> Function:
    """Returns the estimator of a name.

    Args:
        name: `"aqe"`, `"aqe_ste"` or `"ste"`.

    Returns:
        `aqe`, `aqe_ste` or `ste`.

    Raises:
        ValueError: If the name is another.

    Example:

    ```pycon
    >>> get("aqe") is aqe
    True

    ```
    """
    if name not in _ESTIMATORS:
        raise ValueError(
            f"`estimator` must be one of {sorted(_ESTIMATORS)}. "
            f"Received: estimator={name!r}"
        )
    return _ESTIMATORS[name]


def pass_inside(
    x: Tensor, upstream: Tensor, limits: tuple[float, float] = LIMITS
) -> Tensor:
    """Returns `upstream * 1[low <= x <= high]`."""
    low, high = limits
    inside = keras.ops.logical_and(x >= low, x <= high)
    return keras.ops.where(inside, upstream, keras.ops.zeros_like(upstream))


def _blend(hard):
    def blend(x, alpha):
        return alpha * hard(x) + (1 - alpha) * x

    return blend


def _straight_through(limits):
    def gradient(x, alpha, upstream):
        return pass_inside(x, upstream, limits)

    return gradient


def _cast(x, alpha):
    x = backend.convert_to_tensor(x)
    return x, keras.ops.cast(alpha, x.dtype)
