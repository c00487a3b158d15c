"""Gradient estimators: how a hard quantizer is trained through."""

import platform
from collections.abc import Callable
from typing import Any

import tensorflow as tf

__all__ = ["aqe", "get", "ste"]

# An element-wise function of tensors.
Function = Callable[..., tf.Tensor]


def aqe(x: tf.Tensor, hard: Function, alpha: tf.Tensor | float) -> tf.Tensor:
    """Asymptotic-Quantized Estimator.

    Forward: `alpha * h(x) + (1 - alpha) * x`.
    Backward: `dL/dx = 2 * alpha * dL/dy * 1[|x| <= 1]`.

    At `alpha = 1/2` the gradient is the straight-through estimator's; as
    `alpha` tends to 1 the output tends to `h(x)`.

    Args:
        x: Float tensor of any shape.
        hard: Function `h`, from `x` to a tensor of its shape and dtype. No
            gradient flows into it.
        alpha: Float scalar in (0, 1].

    Returns:
        A tensor of the shape and dtype of `x`.

    Source: Chen et al., 2020, Eq. 6, 13, 18 and 19.

    Example:

    ```pycon
    >>> aqe(tf.constant([-2.0, -0.5, 0.5]), tf.sign, 0.5).numpy()
    array([-1.5 , -0.75,  0.75], dtype=float32)

    ```
    """

    def blend(x, alpha):
        return alpha * hard(x) + (1 - alpha) * x

    def gradient(x, alpha, upstream):
        return pass_inside(x, 2 * alpha * upstream)

    return with_gradient(blend, gradient, *_cast(x, alpha))


def ste(x: tf.Tensor, hard: Function, alpha: tf.Tensor | float) -> tf.Tensor:
    """Straight-through estimator, the baseline that AQE is compared with.

    Forward: `h(x)`. Backward: `dL/dx = dL/dy * 1[|x| <= 1]`.

    Args:
        x: Float tensor of any shape.
        hard: Function `h`, from `x` to a tensor of its shape and dtype. No
            gradient flows into it.
        alpha: Not used; here so that both estimators are called alike.

    Returns:
        `h(x)`.

    Source: Courbariaux et al., 2016; Chen et al., 2020, Theorem 1.

    Example:

    ```pycon
    >>> ste(tf.constant([-2.0, -0.5, 0.5]), tf.sign, 0.5).numpy()
    array([-1., -1.,  1.], dtype=float32)

    ```
    """

    def forward(x, alpha):
        return hard(x)

    def gradient(x, alpha, upstream):
        return pass_inside(x, upstream)

    return with_gradient(forward, gradient, *_cast(x, alpha))


_ESTIMATORS = {"aqe": aqe, "ste": ste}


def get(name: str) -> Function:
    """Returns the estimator of a name.

    Args:
        name: `"aqe"` or `"ste"`.

    Returns:
        `aqe` or `ste`.

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


def pass_inside(x: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Returns `upstream * 1[|x| <= 1]`."""
    return tf.where(tf.abs(x) <= 1, upstream, tf.zeros_like(upstream))


def with_gradient(
    forward: Function, gradient: Function, x: tf.Tensor, *args: Any
) -> tf.Tensor:
    """Returns `forward(x, *args)` with the gradient `gradient(x, *args, dy)`.

    Both functions are element-wise; no gradient flows into `args`.
    """

    @tf.custom_gradient
    def apply(x, *args):
        def grad(upstream):
            return _fused(gradient, x, *args, upstream), *[None for _ in args]

        return _fused(forward, x, *args), grad

    return apply(x, *args)


def _cast(x, alpha):
    x = tf.convert_to_tensor(x)
    return x, tf.cast(alpha, x.dtype)


def _fused(function, *args):
    """Calls an element-wise function as one XLA kernel when in a graph.

    Run operator by operator, a quantizer reads and writes its activations six
    times, which makes a training step a sixth longer.
    """
    # TensorFlow has no XLA for the GPUs of macOS.
    if tf.executing_eagerly() or platform.system() == "Darwin":
        return function(*args)
    return tf.function(function, jit_compile=True)(*args)
