"""The mixin that turns a Keras layer with a kernel into its quantized twin."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras

from keras_aqe import backend, quantizers
from keras_aqe.backend import Tensor
from keras_aqe.constraints import WeightClip
from keras_aqe.layers import foreign

# The arguments by which layers are given quantizers.
QUANTIZER_ARGUMENTS = ("quantizer", "input_quantizer", "kernel_quantizer")
# The layers being called on this thread, innermost last, with `training`.
_calls = threading.local()
# In a config, the kernel quantizer of a layer that has one quantizer for both:
# neither clones nor legacy .h5 files would share it by themselves.
_SAME = "input_quantizer"


class Quantized:
    """Mixin: quantizes a layer's input and kernel, and calls the layer.

    `y = layer(input_quantizer(x), kernel_quantizer(W))`: forward and gradient
    of the two quantizers are those of their estimators, everything else is
    the Keras layer's own. Outside a call, `kernel` is the latent kernel.

    A class whose kernels are not called `kernel` names them in
    `kernel_constraints` with their constraint arguments; where Keras keeps a
    kernel as a plain attribute, the class replaces it by a `latent_kernel`.
    """

    kernel_constraints: dict[str, str] = {"kernel": "kernel_constraint"}

    def __init__(
        self,
        *args: Any,
        input_quantizer: quantizers.Identifier = None,
        kernel_quantizer: quantizers.Identifier = None,
        **kwargs: Any,
    ) -> None:
        name = kwargs.get("name") or type(self).__name__
        foreign.refuse(kwargs, name)
        with naming("input_quantizer", name):
            input_quantizer = quantizers.get(input_quantizer)
        if kernel_quantizer == _SAME and input_quantizer is not None:
            kernel_quantizer = input_quantizer
        with naming("kernel_quantizer", name):
            kernel_quantizer = quantizers.get(kernel_quantizer)
        if kernel_quantizer is not None:
            for constraint in self.kernel_constraints.values():
                kwargs.setdefault(
                    constraint, WeightClip(kernel_quantizer.scale)
                )
        self._quantizes_kernel = kernel_quantizer is not None
        super().__init__(*args, **kwargs)
        self.input_quantizer = input_quantizer
        self.kernel_quantizer = kernel_quantizer
        take(self.input_quantizer, self, "input_quantizer", "input")
        take(self.kernel_quantizer, self, "kernel_quantizer", "kernel")

    def add_weight(
        self, *args: Any, name: str | None = None, **kwargs: Any
    ) -> keras.Variable:
        if name in self.kernel_constraints and self._quantizes_kernel:
            # A latent kernel keeps its precision until it is quantized.
            kwargs["autocast"] = False
        return super().add_weight(*args, name=name, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        inputs = self._quantized_input(inputs, training)
        with self._in_call(training):
            return super().call(inputs)

    def _quantized_input(self, inputs, training):
        if self.input_quantizer is None:
            return inputs
        return self.input_quantizer(inputs, training=training)

    @contextlib.contextmanager
    def _in_call(self, training: bool | None) -> Iterator[None]:
        stack = _calls.__dict__.setdefault("stack", [])
        stack.append((self, training))
        try:
            yield
        finally:
            stack.pop()

    def is_in_call(self) -> bool:
        """Whether this layer is the innermost that this thread calls."""
        stack = getattr(_calls, "stack", ())
        return bool(stack) and stack[-1][0] is self

    def _in_call_quantized(self, kernel):
        if self.kernel_quantizer is None or not self.is_in_call():
            return kernel
        training = _calls.stack[-1][1]
        quantized = self.kernel_quantizer(
            backend.convert_to_tensor(kernel), training=training
        )
        return keras.ops.cast(quantized, self.compute_dtype)

    @property
    def kernel(self) -> Any:
        """The latent kernel; inside a call the quantized one."""
        return self._in_call_quantized(super().kernel)

    def set_weights(self, weights: Any) -> None:
        """Sets the weights from a list of arrays, as Keras does.

        Takes the list of the Keras layer too, without its quantizers' alphas,
        which then stay as they are.

        Args:
            weights: What `get_weights` returns of this layer, or of the Keras
                layer that it extends.

        Raises:
            ValueError: If the number or a shape does not fit.
        """
        super().set_weights(with_alphas(self, weights))

    def get_config(self) -> dict[str, Any]:
        kernel_quantizer: Any = quantizers.serialize(self.kernel_quantizer)
        if kernel_quantizer and self.kernel_quantizer is self.input_quantizer:
            kernel_quantizer = _SAME
        return {
            **super().get_config(),
            "input_quantizer": quantizers.serialize(self.input_quantizer),
            "kernel_quantizer": kernel_quantizer,
        }


@contextlib.contextmanager
def naming(argument: str, layer: str) -> Iterator[None]:
    """Names an argument and its layer in what is wrong with a quantizer.

    Args:
        argument: Name of the argument.
        layer: Name of the layer, or of its class if it has none yet.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"`{argument}` of layer {layer!r}: {error}") from error


def take(
    quantizer: quantizers.Quantizer | None,
    layer: keras.layers.Layer,
    argument: str,
    role: str,
) -> None:
    """Tells a quantizer which layer has it and what it quantizes there.

    Args:
        quantizer: The quantizer, or `None`.
        layer: The layer.
        argument: Name of the layer's argument.
        role: `"input"` or `"kernel"`.
    """
    if quantizer is not None:
        with naming(argument, layer.name):
            quantizer.adopt(role)
        quantizer.put_into(layer.name, argument)


def with_alphas(layer: keras.layers.Layer, weights: Any) -> Any:
    """Fills the alphas of a layer into weights that have none.

    Args:
        layer: A layer or a model.
        weights: A list of arrays, with or without one for each quantizer.

    Returns:
        A list for `keras.layers.Layer.set_weights`; what was given if it is
        for neither.
    """
    alphas = {
        id(weight)
        for inner in layer._flatten_layers()
        if isinstance(inner, quantizers.Quantizer)
        for weight in inner.weights
    }
    if len(weights) != len(layer.weights) - len(alphas):
        return weights
    given = iter(weights)
    return [
        keras.ops.convert_to_numpy(weight)
        if id(weight) in alphas
        else next(given)
        for weight in layer.weights
    ]


def latent_kernel(name: str) -> Any:
    """A property for a kernel that Keras assigns as a plain attribute."""
    latent = f"_latent_{name}"

    def read(self: Any) -> Any:
        """The latent kernel; inside a call the quantized one."""
        return self._in_call_quantized(getattr(self, latent))

    def write(self: Any, kernel: Any) -> None:
        setattr(self, latent, kernel)

    return property(read, write)


class QuantizedConv(Quantized):
    """Adds `pad_value`, what 'same' padding fills in after the quantizer.

    Keras pads with 0, which a 1-bit input cannot hold; a `pad_value` that is a
    level of the input quantizer keeps padded inputs at its width.
    """

    def __init__(
        self,
        *args: Any,
        input_quantizer: quantizers.Identifier = None,
        kernel_quantizer: quantizers.Identifier = None,
        pad_value: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *args,
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel_quantizer,
            **kwargs,
        )
        self.pad_value = float(pad_value)
        if self.pad_value and self.padding != "same":
            raise ValueError(
                "`pad_value` is what 'same' padding fills in, so it needs "
                f"`padding='same'`. Received: pad_value={pad_value}, "
                f"padding={self.padding!r} in layer {self.name!r}"
            )

    def _quantized_input(self, inputs, training):
        inputs = super()._quantized_input(inputs, training)
        if not self.pad_value:
            return inputs
        first = 1 if self.data_format == "channels_last" else 2
        sizes = keras.ops.shape(inputs)[first : first + self.rank]
        paddings = [(0, 0)] * len(inputs.shape)
        for axis, (size, kernel, stride, dilation) in enumerate(
            zip(sizes, self.kernel_size, self.strides, self.dilation_rate),
            start=first,
        ):
            paddings[axis] = same_padding(size, kernel, stride, dilation)
        return keras.ops.pad(inputs, paddings, constant_values=self.pad_value)

    @property
    def padding(self) -> str:
        """`"valid"` or `"same"`, as it was given."""
        explicit = getattr(self, "pad_value", 0.0) and self.is_in_call()
        return "valid" if explicit else self._padding

    @padding.setter
    def padding(self, padding: str) -> None:
        self._padding = padding

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad_value": self.pad_value}


def same_padding(
    size: Any, kernel: int, stride: int, dilation: int
) -> tuple[Any, Any]:
    """TensorFlow's 'same' padding of one axis: (before, after)."""
    outputs = -(-size // stride)
    reach = (outputs - 1) * stride + (kernel - 1) * dilation + 1
    if isinstance(size, int):
        total = max(reach - size, 0)
    else:
        total = keras.ops.maximum(reach - size, 0)
    return total // 2, total - total // 2
