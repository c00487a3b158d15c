"""What networks are made of: layers of M-bit inputs and N-bit kernels."""

import math
import numbers

import keras

from keras_aqe import layers, quantizers

_INPUT_WIDTHS = (1, 2, 3, 4, 8, 16, 32)
_WEIGHT_WIDTHS = (1, 2, 3, 4, 16, 32)


class Parts:
    """Builds the layers of one network, all of the same widths.

    Layers that prepare the input of another are named after the layer that
    they follow (`conv1_bn`, `conv1_hard_tanh`, `conv1_quant`).

    Args:
        input_bits: Width of the layers' inputs; 32 is no quantizer.
        weight_bits: Width of the kernels; 32 is no quantizer.
        classes: Number of logits.
        quantize_first: Whether the kernel on the image is quantized.
        quantize_last: Whether input and kernel of the last layer are.
        estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
        stochastic: Whether the quantizers train in their stochastic form.
        pad_value: What the 'same' padding of quantized inputs fills in.
    """

    def __init__(
        self,
        input_bits,
        weight_bits,
        classes,
        estimator,
        stochastic,
        pad_value,
        quantize_first=True,
        quantize_last=True,
    ):
        if weight_bits == 8:
            raise ValueError(
                "`weight_bits` must be 1, 2, 3, 4, 16 or 32: 8-bit fixed point "
                "covers [-1, 1) evenly, too coarse for kernels around 0.02. "
                "Received: weight_bits=8"
            )
        _check_width("input_bits", input_bits, _INPUT_WIDTHS)
        _check_width("weight_bits", weight_bits, _WEIGHT_WIDTHS)
        self.input_bits = input_bits
        self.weight_bits = weight_bits
        self.classes = classes
        self.quantize_first = quantize_first
        self.quantize_last = quantize_last
        self._estimator = estimator
        self._stochastic = stochastic
        self._pad_value = pad_value

    def _quantizer(self, bits):
        # Half precision has no stochastic form.
        return quantizers.of_width(
            bits,
            estimator=self._estimator,
            stochastic=self._stochastic and bits < 16,
        )

    def conv(self, x, filters, size, name, strides=1):
        """A quantized 'same' convolution on quantized input, without bias."""
        return layers.QuantConv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            pad_value=self._pad_value,
            use_bias=False,
            kernel_quantizer=self._quantizer(self.weight_bits),
            name=name,
        )(x)

    def image_conv(self, x, filters, size, name, strides=1, padding="same"):
        """The first convolution: the image as it is, padded by zeros."""
        bits = self.weight_bits if self.quantize_first else 32
        return layers.QuantConv2D(
            filters,
            size,
            strides=strides,
            padding=padding,
            use_bias=False,
            kernel_quantizer=self._quantizer(bits),
            name=name,
        )(x)

    def dense(self, x, units, name):
        """A quantized dense layer on quantized input, without bias."""
        return layers.QuantDense(
            units,
            use_bias=False,
            kernel_quantizer=self._quantizer(self.weight_bits),
            name=name,
        )(x)

    def norm(self, x, name):
        """Batch normalisation."""
        return keras.layers.BatchNormalization(name=f"{name}_bn")(x)

    def rescaled(self, x, products, name):
        """A quantized convolution's sums times a power of two.

        Levels reach up to 1 whatever the size of a kernel, so where sums of
        several convolutions are added, those of large kernels would drown the
        others. The power of two nearest to `1 / sqrt(products)`, the number
        of products that are added up, brings the sum near unit variance and
        loses no bit.
        """
        if self.weight_bits >= 16:
            return x
        scale = 2.0 ** -round(math.log2(products) / 2)
        return keras.layers.Rescaling(scale, name=f"{name}_scale")(x)

    def opening(self, x, name):
        """Batch normalisation, activation and quantizer before a layer."""
        return self.activation(self.norm(x, name), name)

    def hard_tanh(self, x, name, quantize=True):
        """Hard tanh and the quantizer of inputs."""
        x = layers.HardTanh(name=f"{name}_hard_tanh")(x)
        if self.input_bits == 32 or not quantize:
            return x
        return layers.QuantActivation(
            self._quantizer(self.input_bits), name=f"{name}_quant"
        )(x)

    def activation(self, x, name, quantize=True):
        """`hard_tanh`; where inputs are not quantized at all, ReLU."""
        if self.input_bits == 32:
            return keras.layers.ReLU(name=f"{name}_relu")(x)
        return self.hard_tanh(x, name, quantize)

    def logits(self, x, name):
        """The last layer.

        Sums of a quantized kernel are far too large for logits, so batch
        normalisation follows it, as in MINW-Net; elsewhere a bias does.
        """
        if not self.quantize_last or self.weight_bits == 32:
            return keras.layers.Dense(self.classes, name=name)(x)
        return self.norm(self.dense(x, self.classes, name), name)

    def pooled_logits(self, x):
        """Global average pooling, then the last layer, `"logits"`.

        Averages lie close together, so that batch normalisation spreads them
        over the quantizer's range.
        """
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        if self.quantize_last and self.input_bits < 32:
            x = self.hard_tanh(self.norm(x, "pool"), "pool")
        return self.logits(x, "logits")


def _check_width(argument, bits, widths):
    if not isinstance(bits, numbers.Integral) or bits not in widths:
        raise ValueError(
            f"`{argument}` must be one of {list(widths)}. Received: {bits!r}"
        )
