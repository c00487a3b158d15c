"""The JAX backend."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax

# Operators that hand on their input; a cast does where the dtype stays, and
# leaves no trace.
_HANDING_ON = ("copy", "stop_gradient")

convert_to_tensor = keras.ops.convert_to_tensor


def with_gradient(forward, gradient, x, *args):
    value = lax.stop_gradient(forward(x, *args))
    return _with_gradient(gradient, value, x, *args)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _with_gradient(gradient, value, x, *args):
    return value


def _forward(gradient, value, x, *args):
    return value, (x, *args)


def _backward(gradient, saved, upstream):
    x, *args = saved
    return None, gradient(x, *args, upstream), *[None for _ in args]


_with_gradient.defvjp(_forward, _backward)


def mean_magnitude(x):
    # Elsewhere, JAX would make float32 of it.
    with jax.enable_x64(True):
        magnitude = jnp.abs(lax.convert_element_type(x, "float64"))
        return lax.convert_element_type(jnp.mean(magnitude), "float32")


def round_to_half(x):
    # On the bits, because XLA removes a cast to float16 and back again.
    bits = lax.bitcast_convert_type(x, "uint32")
    even = (bits >> 13) & 1
    rounded = (bits + 0x0FFF + even) & np.uint32(0xFFFFE000)
    normal = lax.bitcast_convert_type(rounded, "float32")
    subnormal = jnp.round(x * 2.0**24) * 2.0**-24
    return jnp.where(jnp.abs(x) < 2.0**-14, subnormal, normal)


def to_int64(x):
    with jax.enable_x64(True):
        return lax.convert_element_type(x, "int64")


def returns_argument(function, spec):
    # JAX traces with known sizes only.
    shape = [1 if size is None else size for size in spec.shape]
    argument = jax.ShapeDtypeStruct(shape, spec.dtype)
    graph = jax.make_jaxpr(function)(argument).jaxpr
    outputs = graph.outvars
    for equation in reversed(graph.eqns):
        if (
            equation.primitive.name in _HANDING_ON
            and equation.outvars == outputs
        ):
            outputs = equation.invars
    return outputs == graph.invars


def on_one_device(function):
    return function()


# Keras draws by seeds that are variables of the model.
keeps_random_state = contextlib.nullcontext


def gradient(function, x):
    return np.asarray(jax.grad(lambda x: function(x).sum())(jnp.asarray(x)))


def sync(model):
    model.jax_state_sync()


def setter(model, variables):
    def assign(value):
        if model._jax_state_synced:
            for variable in variables:
                variable.assign(value)
            return
        # Within an epoch variables are empty, and `fit` hands their values
        # from step to step itself.
        if getattr(model.train_function, "variables", None) is not variables:
            model.train_function = _Step(model, variables)
        model.train_function.value = value

    return assign


class _Step:
    """The step of `fit`, which sets variables to `value` once it has one.

    `model.jax_state_sync()` would move the values of all variables, and be as
    long as a short step.
    """

    def __init__(self, model, variables):
        step = model.train_function
        # One of an earlier `fit`.
        self.step = step.step if isinstance(step, _Step) else step
        self.variables = variables
        self.value = None
        places = {id(v): i for i, v in enumerate(model.non_trainable_variables)}
        self._places = [places[id(variable)] for variable in variables]

    def __call__(self, state, iterator):
        if self.value is not None:
            trainable, values, *others = state
            values = list(values)
            for place in self._places:
                # A step donates its arguments: each has memory of its own.
                values[place] = np.float32(self.value)
            state = trainable, values, *others
            self.value = None
        return self.step(state, iterator)
