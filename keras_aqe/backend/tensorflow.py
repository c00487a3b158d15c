"""The TensorFlow backend."""

import concurrent.futures
import contextlib
import platform

import tensorflow as tf

# Operators that hand on their input; a cast does where the dtype stays.
_HANDING_ON = ("Identity", "IdentityN", "PreventGradient", "StopGradient")


# `keras.ops.convert_to_tensor` leaves a variable a variable, which may not be
# captured by a function with a gradient of its own.
convert_to_tensor = tf.convert_to_tensor


def with_gradient(forward, gradient, x, *args):
    @tf.custom_gradient
    def apply(x, *args):
        def grad(upstream):
            return _fused(gradient, x, *args, upstream), *[None for _ in args]

        return _fused(forward, x, *args), grad

    return apply(x, *args)


def _fused(function, *args):
    """Calls an element-wise function as one XLA kernel when in a graph.

    Run operator by operator, a quantizer reads and writes its activations six
    times, which makes a training step a sixth longer.
    """
    # TensorFlow has no XLA for the GPUs of macOS.
    if tf.executing_eagerly() or platform.system() == "Darwin":
        return function(*args)
    return tf.function(function, jit_compile=True)(*args)


def mean_magnitude(x):
    return tf.cast(tf.reduce_mean(tf.abs(tf.cast(x, tf.float64))), tf.float32)


def round_to_half(x):
    # On the bits, because XLA removes a cast to float16 and back again.
    bits = tf.bitcast(x, tf.uint32)
    even = tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, 13), 1)
    normal = tf.bitcast(
        tf.bitwise.bitwise_and(bits + 0x0FFF + even, 0xFFFFE000), tf.float32
    )
    subnormal = tf.round(x * 2.0**24) * 2.0**-24
    return tf.where(tf.abs(x) < 2.0**-14, subnormal, normal)


def to_int64(x):
    return tf.cast(x, tf.int64)


def returns_argument(function, spec):
    @tf.function(
        input_signature=[tf.TensorSpec(spec.shape, spec.dtype)],
        autograph=False,
    )
    def traced(x):
        # Within a scope, names may begin as they like.
        with tf.name_scope("call"):
            return function(x)

    graph = traced.get_concrete_function()
    if len(graph.outputs) != 1:
        return False
    output = graph.outputs[0]
    while output.op.type in _HANDING_ON or (
        output.op.type == "Cast" and output.dtype == output.op.inputs[0].dtype
    ):
        output = output.op.inputs[output.value_index]
    return output is graph.inputs[0]


def on_one_device(function):
    if not tf.distribute.has_strategy():
        return function()
    # A scope cannot be left, but it is that of one thread.
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result()


def sync(model):
    pass


def setter(model, variables):
    def assign(value):
        for variable in variables:
            variable.assign(value)

    return assign


# Keras draws by seeds that are variables of the model.
keeps_random_state = contextlib.nullcontext


def gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x))
    return tape.gradient(total, x).numpy()
