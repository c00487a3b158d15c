"""Networks and inputs that the converters are tested on."""

import keras
import numpy as np
from hypothesis import strategies as st

from keras_aqe import layers, quantizers
from keras_aqe.converters import targets
from keras_aqe.converters.graph.build import build
from keras_aqe_runtime.file import flatbuffer, metadata
from tests.randomised import images, randomise

# What the random networks are made of.
TARGETS = sorted(targets.TARGETS)
# Bits of inputs and of weights, as in Chen et al., 2020.
TABLE_1 = [
    (1, 1), (1, 2), (1, 3), (1, 16),
    (2, 1), (2, 2), (2, 3), (2, 16),
    (3, 1), (3, 2), (3, 3), (3, 16),
    (16, 1), (16, 2), (16, 3), (32, 32),
]  # fmt: skip
LAYERS = [
    *("conv", "depthwise", "separable", "transposed", "grouped"),
    *("concatenate", "residual", "dense", "forked", "nested", "moved", "wide"),
]
WEIGHT_BITS = [1, 2, 3, 4]
INPUT_BITS = [1, 2, 3, 4, 8]
# Beside float32.
INPUT_DTYPES = ["uint8", "int8", "int16", "int32", "int64", "bool"]
# Keras takes all of them; graphs of TensorFlow do not.
INPUT_NAMES = ["image", "an image", "größe", "_x", "x:0", "img[0]"]
RECURRENT = [
    keras.layers.LSTM,
    keras.layers.GRU,
    keras.layers.SimpleRNN,
    lambda units: keras.layers.Bidirectional(keras.layers.LSTM(units)),
]
# One of these beside one of `WEIGHT_BITS` or `INPUT_BITS` makes a wide layer.
WIDE_INPUT_BITS = [16, 32]
WIDE_WEIGHT_BITS = [8, 16, 32]


def numbers(shape, dtype, examples=3, seed=0):
    """Inputs of a type, with its extremes where sums of them stay exact."""
    if dtype == "float32":
        return images(shape, examples, seed)
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.random((examples, *shape)) < 0.5
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -1000), min(limits.max, 1000)
    return random.integers(low, high + 1, (examples, *shape)).astype(dtype)


def inputs_of(model, examples=3):
    """Images or sequences for a model, a list if it has several inputs."""
    values = [
        numbers(tensor.shape[1:], tensor.dtype, examples, seed)
        for seed, tensor in enumerate(model.inputs)
    ]
    return values if len(values) > 1 else values[0]


def computed(model, x):
    """What a model computes of a batch; `predict` compiles a graph for it."""
    return keras.tree.map_structure(np.asarray, model(x, training=False))


def check_report(model, converted):
    """Whether a report has all layers with weights, and adds up."""
    report = converted.report
    listed = {row.name for row in (*report, *report.normalizations)}
    assert listed == {layer.name for layer in _with_weights(model)}
    assert report.bytes == len(converted.flatbuffer)
    assert all(size > 0 for size in report.bytes_by_kind.values())
    assert sum(row.bytes for row in report) <= report.bytes
    known = report.macs - report.macs_by_kind.get("other", 0)
    assert known == sum(row.macs for row in report)


def _with_weights(model):
    """Layers that a network calls and that are not quantizers alone."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _with_weights(layer)
        elif layer.weights and not isinstance(
            layer, (quantizers.Quantizer, layers.QuantActivation)
        ):
            yield layer


def activation_quantizers(model):
    """What the inference graph of a model has in `codes`."""
    return build(model).codes


def with_a_fault(file, number):
    """A file in which one weighted operator has its kernel turned around.

    Args:
        file: What `convert` made.
        number: Chooses the operator.
    """
    parsed = flatbuffer.read(file)
    description = metadata.read(parsed)
    carriers = [i for row in description["layers"] for i in row["operators"]]
    kernel = flatbuffer.kernel(parsed, carriers[number % len(carriers)])
    buffer = parsed.buffers[kernel.buffer]
    buffer.data = buffer.data[::-1]
    return metadata.seal(parsed, description)


def block(x, layer, quantizer, order="pool bn", activation=None):
    """A quantized layer and what follows it, in an order of choice."""
    x = layer(x)
    for step in order.split():
        if step == "pool":
            x = keras.layers.MaxPooling2D(2)(x)
        elif step == "same_pool":
            x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
        elif step == "bn":
            x = keras.layers.BatchNormalization()(x)
        elif step == "relu":
            x = keras.layers.ReLU()(x)
        elif step == "tanh":
            x = layers.HardTanh()(x)
        elif step == "dropout":
            x = keras.layers.Dropout(0.3)(x)
    return x if quantizer is None else layers.QuantActivation(quantizer)(x)


class RandomNetwork:
    """Draws networks of all layers and widths from hypothesis.

    Args:
        draw: The `draw` of `hypothesis.strategies.data()`.

    Attributes:
        strict: Whether every target takes the network with `strict=True`:
            wide layers stay float under some.
    """

    def __init__(self, draw):
        self._draw = draw
        self._codes = []
        self._bits, self._signed = None, True
        self._inputs = []
        self.strict = True

    def model(self):
        """A network; its outputs are all codes, then logits."""
        kind = self._draw(st.sampled_from(["images"] * 5 + ["sequences"]))
        return getattr(self, kind)()

    def _input(self, shape):
        """An input of any dtype and name, as floats."""
        used = {tensor.name for tensor in self._inputs}
        names = [name for name in INPUT_NAMES if name not in used]
        x = keras.Input(
            shape,
            dtype=self._draw(st.sampled_from(["float32"] * 6 + INPUT_DTYPES)),
            name=self._draw(st.sampled_from([None, *names])),
        )
        self._inputs.append(x)
        if x.dtype != "float32":
            offset = self._draw(st.sampled_from([0.0, -1.0]))
            x = keras.layers.Rescaling(1 / 128, offset)(x)
        return x

    def images(self):
        """A network on images."""
        sizes = st.one_of(st.integers(20, 24), st.integers(6, 40))
        x = self._input((self._draw(sizes), self._draw(sizes), 3))
        if self._draw(st.integers(0, 7)):
            x = self._block(x, self._conv(["valid", "same"], [0.0]))
        else:
            x = self._wide_block(x)
        for _ in range(self._draw(st.integers(1, 2))):
            kind = self._draw(st.sampled_from(LAYERS))
            x = getattr(self, f"_{kind}_block")(x)
        return self._finish(self._flattened(x))

    def sequences(self):
        """A network of `QuantConv1D` on sequences, likewise."""
        x = self._input((self._draw(st.integers(12, 33)), 3))
        for index in range(2):
            padding = self._draw(st.sampled_from(["valid", "same", "causal"]))
            layer = layers.QuantConv1D(
                self._channels(),
                self._draw(st.integers(1, 4)),
                padding=padding,
                use_bias=self._draw(st.booleans()),
                kernel_quantizer=self._quantizer(),
                **self._steps(1),
            )
            x = keras.layers.BatchNormalization()(layer(x))
            if index and self._draw(st.booleans()):
                x = keras.layers.MaxPooling1D(2)(x)
            x = self._quantized(x)
        recurrent = None
        if self._draw(st.booleans()):
            # Its floats round otherwise in each engine: no codes of them.
            recurrent = self._draw(st.sampled_from(RECURRENT))(4)(x)
        return self._finish(self._flattened(x), recurrent)

    def _flattened(self, x):
        """Codes as vectors, quantized in front of the flattening or after."""
        flatten = keras.layers.Flatten(data_format=self._data_format())
        if self._draw(st.booleans()):
            return flatten(x)
        x = keras.layers.BatchNormalization()(x)
        return self._quantized(flatten(x))

    def _data_format(self):
        formats = ["channels_last", "channels_last", "channels_first"]
        return self._draw(st.sampled_from(formats))

    def _finish(self, x, beside_logits=None):
        if self._draw(st.booleans()):
            other = self._input((self._draw(st.integers(1, 40)),))
            dense = layers.QuantDense(
                self._channels(), kernel_quantizer=self._quantizer()
            )
            beside = block(other, dense, self._quantizer_again(), "bn")
            self._codes.append(beside)
            x = keras.layers.Concatenate()([x, beside])
        dense = layers.QuantDense(
            self._draw(st.integers(1, 40)),
            use_bias=self._draw(st.booleans()),
            kernel_quantizer=self._quantizer(),
        )
        x = self._block(x, dense, "bn tanh")
        x = layers.QuantDense(4, kernel_quantizer=self._quantizer())(x)
        x = keras.layers.BatchNormalization()(x)
        if beside_logits is not None:
            x = keras.layers.Concatenate()([x, beside_logits])
        model = keras.Model(self._inputs, [*self._codes, x])
        return randomise(model, self._draw(st.integers(0, 2**16)))

    def _quantizer(self, widths=WEIGHT_BITS):
        return quantizers.of_width(self._draw(st.sampled_from(widths)))

    def _quantizer_of_input(self):
        self._bits = self._draw(st.sampled_from(INPUT_BITS))
        self._signed = self._draw(st.booleans())
        return self._quantizer_again()

    def _quantizer_again(self):
        """Another one like the last of an input."""
        return quantizers.of_width(self._bits, signed=self._signed)

    def _quantized(self, x):
        quantizer = self._quantizer_of_input()
        x = layers.QuantActivation(quantizer)(x)
        self._codes.append(x)
        return x

    def _channels(self):
        return self._draw(st.sampled_from([1, 3, 31, 33, 65]))

    def _steps(self, rank=2):
        """Strides, or a dilation, or neither."""
        kind = self._draw(st.sampled_from(["strides", "dilation_rate", None]))
        return {} if kind is None else {kind: 2 if rank == 1 else (2, 2)}

    def _block(self, x, layer, order=None):
        if order is None:
            orders = ["bn", "bn tanh", "relu bn", "dropout bn"]
            if min(layer.compute_output_shape(x.shape)[1:3]) >= 10:
                orders += ["pool bn", "bn pool", "same_pool bn tanh"]
            order = self._draw(st.sampled_from(orders))
        return self._quantized(block(x, layer, None, order))

    def _conv(
        self, paddings=("valid", "same"), pad_values=(0.0, 1.0), **kwargs
    ):
        return self._layer(
            layers.QuantConv2D,
            paddings,
            pad_values,
            **{"filters": self._channels(), **kwargs},
        )

    def _layer(self, cls, paddings, pad_values, **kwargs):
        padding = self._draw(st.sampled_from(list(paddings)))
        if padding == "same" and pad_values:
            kwargs["pad_value"] = self._pad_value(pad_values)
        return cls(
            kernel_size=self._draw(st.sampled_from([1, 2, 3, (3, 1)])),
            padding=padding,
            **{
                "use_bias": self._draw(st.booleans()),
                "kernel_quantizer": self._quantizer(),
                **self._steps(),
                **kwargs,
            },
        )

    def _pad_value(self, pad_values):
        """0 or a level of the layer's input, whatever its width."""
        values = list(pad_values)
        if self._bits is not None and self._bits <= 8 and any(values):
            levels = self._quantizer_again().levels
            values += [float(level) for level in levels]
            # Fixed point ends before 1.
            values = [0.0 if v not in levels else v for v in values]
        return self._draw(st.sampled_from(values))

    def _conv_block(self, x):
        return self._block(x, self._conv(self._paddings(x)))

    def _grouped_block(self, x):
        groups = 3 if x.shape[-1] % 3 == 0 else 1
        layer = self._conv(self._paddings(x), groups=groups, filters=6)
        return self._block(x, layer)

    def _depthwise_block(self, x):
        layer = self._layer(
            layers.QuantDepthwiseConv2D,
            self._paddings(x),
            (0.0, 1.0),
            depth_multiplier=self._draw(st.integers(1, 2)),
        )
        return self._block(x, layer)

    def _separable_block(self, x):
        layer = self._layer(
            layers.QuantSeparableConv2D,
            self._paddings(x),
            (0.0, 1.0),
            filters=self._channels(),
            # The product of two codes of 4 bits has more than 8.
            kernel_quantizer=self._quantizer([1, 2, 3]),
        )
        return self._block(x, layer)

    def _transposed_block(self, x):
        layer = self._layer(
            layers.QuantConv2DTranspose,
            ("valid", "same"),
            (),
            filters=self._channels(),
            strides=self._draw(st.sampled_from([1, 2, (2, 3)])),
            dilation_rate=1,
        )
        return self._block(x, layer)

    def _paddings(self, x):
        """A dilated kernel of 3 does not fit into fewer than 5 pixels."""
        return ["same"] if min(x.shape[1:3]) < 5 else ["valid", "same"]

    def _concatenate_block(self, x):
        convs = [
            self._conv(["same"], strides=1, dilation_rate=1) for _ in range(2)
        ]
        self._quantizer_of_input()
        branches = [
            block(x, conv, self._quantizer_again(), "bn") for conv in convs
        ]
        x = keras.layers.Concatenate()(branches)
        self._codes.append(x)
        return x

    def _residual_block(self, x):
        """Sums that go on as floats, to a quantizer and to a shortcut."""
        shortcut = block(x, self._branch(), None, "bn")
        x = self._normalized(shortcut)
        if self._draw(st.booleans()):
            shortcut = x
        branch = block(self._quantized(x), self._branch(), None, "bn")
        both = self._draw(st.permutations([shortcut, branch]))
        x = keras.layers.Add()(both)
        if self._draw(st.booleans()):
            x = keras.layers.Concatenate()([x, shortcut])
        return self._quantized(self._normalized(x))

    def _dense_block(self, x):
        """Sums side by side, more and more of them in front of quantizers."""
        x = block(x, self._branch(), None, "")
        for _ in range(self._draw(st.integers(1, 2))):
            codes = self._quantized(self._normalized(x))
            order = self._draw(st.sampled_from(["", "bn", "relu"]))
            y = block(codes, self._branch(), None, order)
            x = keras.layers.Concatenate()(self._draw(st.permutations([x, y])))
        return self._quantized(self._normalized(x))

    def _forked_block(self, x):
        """A sum, limited or not, that is quantized twice and may go on."""
        x = keras.layers.Add()(
            [block(x, self._branch(), None, "") for _ in range(2)]
        )
        limit = self._draw(st.sampled_from([None, "relu", "relu6", "tanh"]))
        if limit == "tanh":
            x = layers.HardTanh()(x)
        elif limit is not None:
            x = keras.layers.Activation(limit)(x)
        branches = [
            block(
                self._quantized(self._normalized(x)), self._branch(), None, ""
            )
            for _ in range(2)
        ]
        if self._draw(st.booleans()):
            branches[0] = keras.layers.Add()([x, branches[0]])
        return self._quantized(self._normalized(keras.layers.Add()(branches)))

    def _branch(self):
        return self._conv(["same"], filters=9, strides=1, dilation_rate=1)

    def _normalized(self, x):
        orders = ["", "bn", "bn tanh", "relu", "relu bn"]
        for step in self._draw(st.sampled_from(orders)).split():
            x = {
                "bn": keras.layers.BatchNormalization,
                "tanh": layers.HardTanh,
                "relu": keras.layers.ReLU,
            }[step]()(x)
        return x

    def _nested_block(self, x):
        """A network in the network, called twice."""
        inputs = keras.Input(x.shape[1:])
        conv = self._conv(
            ["same"], filters=x.shape[-1], strides=1, dilation_rate=1
        )
        outputs = block(inputs, conv, self._quantizer_again(), "bn tanh")
        inner = keras.Model(inputs, outputs)
        for _ in range(2):
            x = inner(x)
            self._codes.append(x)
        return x

    def _moved_block(self, x):
        """A layer that moves, drops or averages codes, and a convolution.

        Or floats, in front of their quantizer.
        """
        on_floats = self._draw(st.booleans())
        if on_floats:
            order = self._draw(st.sampled_from(["bn", "bn relu", "relu bn"]))
            x = block(x, self._branch(), None, order)
        rows, columns, channels = x.shape[1:]
        choices = [
            keras.layers.MaxPooling2D(
                2, 1, padding="same", data_format=self._data_format()
            ),
            keras.layers.Permute((2, 1, 3)),
            keras.layers.Reshape((columns, rows, channels)),
            keras.layers.UpSampling2D(2),
            keras.layers.ZeroPadding2D((1, 2), data_format=self._data_format()),
        ]
        if min(rows, columns) > 1:
            choices += [
                keras.layers.AveragePooling2D(2),
                keras.layers.Cropping2D(((0, 1), (1, 0))),
            ]
        layer = self._draw(st.sampled_from(choices))
        x = layer(x)
        if on_floats or isinstance(layer, keras.layers.AveragePooling2D):
            x = self._quantized(x)
        return self._conv_block(x)

    def _wide_block(self, x):
        """A layer with few bits on one side and floats or 8 on the other."""
        self.strict = False
        if self._bits is not None and self._draw(st.booleans()):
            quantizer = self._quantizer(WIDE_WEIGHT_BITS)
            conv = self._conv(self._paddings(x), kernel_quantizer=quantizer)
            return self._block(x, conv)
        if self._bits is None:
            x = self._conv_of_few_bits(x)(x)
        quantizer = self._quantizer(WIDE_INPUT_BITS)
        if quantizer is not None:
            x = layers.QuantActivation(quantizer)(x)
        return self._block(x, self._conv_of_few_bits(x))

    def _conv_of_few_bits(self, x):
        """All sums of half-precision values are exact in these."""
        return self._conv(
            self._paddings(x),
            pad_values=(),
            use_bias=False,
            kernel_quantizer=self._quantizer([1, 2]),
        )
