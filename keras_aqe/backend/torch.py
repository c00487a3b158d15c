"""The PyTorch backend."""

import keras
import torch

convert_to_tensor = keras.ops.convert_to_tensor


def with_gradient(forward, gradient, x, *args):
    return _WithGradient.apply(forward, gradient, x, *args)


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, forward, gradient, x, *args):
        ctx.gradient = gradient
        ctx.save_for_backward(x, *args)
        return forward(x, *args)

    @staticmethod
    def backward(ctx, upstream):
        x, *args = ctx.saved_tensors
        into_x = ctx.gradient(x, *args, upstream)
        return None, None, into_x, *[None for _ in args]


def mean_magnitude(x):
    if x.device.type == "mps":
        # Apple's GPUs have no float64.
        x = x.cpu()
    return x.double().abs().mean().float()


def round_to_half(x):
    return x.half().float()


def to_int64(x):
    return x.long()


def returns_argument(function, spec):
    # PyTorch has no graph; what is handed on is still the same memory.
    shape = [1 if size is None else size for size in spec.shape]
    x = keras.ops.zeros(shape, spec.dtype)
    with torch.no_grad():
        y = function(x)
    return (
        torch.is_tensor(y)
        and y.data_ptr() == x.data_ptr()
        and (y.shape, y.stride(), y.dtype) == (x.shape, x.stride(), x.dtype)
    )


def on_one_device(function):
    return function()


def sync(model):
    pass


def setter(model, variables):
    def assign(value):
        for variable in variables:
            variable.assign(value)

    return assign


# Dropout draws from the global state.
keeps_random_state = torch.random.fork_rng


def gradient(function, x):
    x = keras.ops.convert_to_tensor(x).requires_grad_()
    (found,) = torch.autograd.grad(function(x).sum(), x)
    return keras.ops.convert_to_numpy(found)
