"""What differs between Keras's backends; all else is written in `keras.ops`.

Each module beside this one is named as a backend is, and defines all of the
functions below. No other module of the package asks which backend runs.
"""

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

# A tensor of the backend that runs.
Tensor = Any
# An element-wise function of tensors.
Function = Callable[..., Tensor]

_NAMES = ("tensorflow", "jax", "torch")

if keras.backend.backend() not in _NAMES:
    raise ImportError(
        "keras_aqe runs on Keras's backends 'tensorflow', 'jax' and 'torch'. "
        f"The backend is {keras.backend.backend()!r}; set KERAS_BACKEND to "
        "one of the three before Keras is imported."
    )

_chosen = importlib.import_module(f"{__name__}.{keras.backend.backend()}")

# `convert_to_tensor(x)` is a tensor of what makes one, a variable's value too.
convert_to_tensor: Callable[[Any], Tensor] = _chosen.convert_to_tensor

# `with_gradient(forward, gradient, x, *args)` is `forward(x, *args)` with the
# gradient `gradient(x, *args, dy)`. Both functions are element-wise and
# capture no tensor that depends on `x`; no gradient flows into `args`.
with_gradient: Callable[..., Tensor] = _chosen.with_gradient

# `mean_magnitude(x)` is the mean of `|x|`, added up in float64 and returned in
# float32: the order of summation (threads, XLA, another machine, another
# backend) does not show in it.
mean_magnitude: Callable[[Tensor], Tensor] = _chosen.mean_magnitude

# `round_to_half(x)` is the float16 value nearest to each `x`, as float32, for
# float32 `x` in float16's range.
round_to_half: Callable[[Tensor], Tensor] = _chosen.round_to_half

# `to_int64(x)` is `x` as 64-bit integers.
to_int64: Callable[[Tensor], Tensor] = _chosen.to_int64

# `returns_argument(function, spec)` is whether a function of one tensor
# returns it as it is, for a `keras.KerasTensor` with its shape and dtype.
returns_argument: Callable[[Function, keras.KerasTensor], bool] = (
    _chosen.returns_argument
)

# `on_one_device(function)` calls a function outside of any strategy, which
# would share its batches.
on_one_device: Callable[[Callable[[], Any]], Any] = _chosen.on_one_device

# `sync(model)` fills the variables of a model whose `fit` keeps their values
# elsewhere between steps. It takes as long as a short step.
sync: Callable[[keras.Model], None] = _chosen.sync

# `setter(model, variables)` is a function that sets non-trainable variables of
# a model to a number, between the steps of its `fit` too.
setter: Callable[
    [keras.Model, list[keras.Variable]], Callable[[float], None]
] = _chosen.setter

# `keeps_random_state()` is a context after which the backend's global random
# state, which a model's `fit` draws from, is as before.
keeps_random_state: Callable[[], contextlib.AbstractContextManager] = (
    _chosen.keeps_random_state
)

# `gradient(function, x)` is the gradient of `sum(function(x))` as an array,
# for a function of one tensor and an array `x`.
gradient: Callable[[Function, np.ndarray], np.ndarray] = _chosen.gradient
