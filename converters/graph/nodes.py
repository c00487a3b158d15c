"""The values of an inference graph."""

import dataclasses

import keras
import numpy as np

from keras_aqe import quantizers


@dataclasses.dataclass(eq=False)
class Node:
    """One value of the graph.

    Args:
        name: Name of the Keras layer that the value comes from.
        shape: Shape of the value, `None` for the batch.
        bits: Width of the value; 32 is plain float.
        dtype: Type of the value in Keras.
        unit: The value is `unit` times what the node's tensor holds.
        levels: The codes that the tensor can hold, ascending integers, or
            `None` where it holds the value itself, numbers of `dtype`.
        is_image: Whether the value is a network input, as it is or as layers
            without trained weights leave it.
        mask: The node that tells which steps of a sequence count, or `None`
            if all do.
        number: Its place in the graph. Tensors of a file are named after it.
    """

    name: str
    shape: tuple
    bits: int = 32
    dtype: str = "float32"
    unit: float = 1.0
    levels: np.ndarray | None = None
    is_image: bool = False
    mask: "Node | None" = None
    number: int | None = None

    def sources(self):
        """The nodes that this one is computed from."""
        source = getattr(self, "source", None)
        return [] if source is None else [source]


@dataclasses.dataclass(eq=False)
class Input(Node):
    """A network input.

    Args:
        batch: The batch that the model fixes, `None` for any.
    """

    batch: int | None = None


@dataclasses.dataclass(eq=False)
class Apply(Node):
    """An ordinary Keras operation on `args` and `kwargs` that hold nodes."""

    operation: object = None
    args: tuple = ()
    kwargs: dict = dataclasses.field(default_factory=dict)

    def sources(self):
        values = keras.tree.flatten((self.args, self.kwargs))
        return [value for value in values if isinstance(value, Node)]


@dataclasses.dataclass(eq=False)
class Cast(Node):
    """The value of another node in this one's `dtype`."""

    source: Node = None


@dataclasses.dataclass(eq=False)
class Pixels(Apply):
    """An 8-bit image behind operations that scale and shift it.

    The value of pixel p is `unit * (scale * p + offset)`, but for rounding.
    Where scale and offset are whole numbers, so is what the node's tensor
    holds, `scale * p + offset`, and sums of it are the same in any order.

    Args:
        pixels: The `Input`.
        table: What Keras makes of each pixel, `(256, channels)`.
        scale: One number for each channel.
        offset: Likewise.
    """

    pixels: Input = None
    table: np.ndarray = None
    scale: np.ndarray = None
    offset: np.ndarray = None


@dataclasses.dataclass(eq=False)
class Quantize(Node):
    """The quantizer on a float value, with no sum to fold it into."""

    source: Node = None
    quantizer: quantizers.Quantizer = None


@dataclasses.dataclass(eq=False)
class Pad(Node):
    """Codes with more of them around, all the same.

    Args:
        pads: Codes added in front and behind, a pair for each axis.
        code: What stands there.
    """

    source: Node = None
    pads: tuple = ()
    code: float = 0.0


def quantization(node):
    """The `Quantize` or `Threshold` that made codes, maybe moved since."""
    while isinstance(node, (Apply, Pad)):
        node = node.sources()[0]
    return node


@dataclasses.dataclass(eq=False)
class Spread(Node):
    """Codes with zeros between rows and columns, `strides` apart."""

    source: Node = None
    strides: tuple = (1, 1)


@dataclasses.dataclass(eq=False)
class Shift(Node):
    """Codes of 8 bits without a sign less `by`, which makes them signed.

    Only sums read it, which make up for it by their `offset`.
    """

    source: Node = None
    by: int = 0


@dataclasses.dataclass(frozen=True)
class Window:
    """How a kernel moves over rows and columns.

    Args:
        strides: Steps.
        dilation: Distances of the kernel's taps.
        pads: Rows and columns added, `((top, bottom), (left, right))`.
        pad_code: What stands there, as a code of the source. 0 adds nothing
            to a sum, also where the source has no code for 0.
    """

    strides: tuple
    dilation: tuple
    pads: tuple
    pad_code: float = 0.0


@dataclasses.dataclass(eq=False)
class Sum(Node):
    """The accumulators of a quantized layer, before its bias.

    The layer's output is `activation(unit * (tensor + offset) + bias)`.

    Args:
        source: What is summed up.
        kernel: For a dense layer, on the last axis, of shape `(inputs,
            outputs)`. For a convolution of shape `(height, width, inputs /
            groups, outputs)`; one over a sequence has height 1, and source
            and sum have no axis for it.
        weight_bits: Width of the layer's kernel.
        window: How the kernel of a convolution moves; `None` if dense.
        offset: Array of one whole number for each output, or `None`.
        bias: Array of one number for each output, or `None`.
        activation: The layer's activation function, or `None`.
    """

    source: Node = None
    kernel: np.ndarray = None
    weight_bits: int = 32
    window: Window | None = None
    offset: np.ndarray | None = None
    bias: np.ndarray | None = None
    activation: object = None

    @property
    def groups(self):
        """Groups of channels that do not see each other."""
        return self.source.shape[-1] // self.kernel.shape[-2]

    @property
    def pad_value(self):
        """What padding fills in, in the values of the layer's input."""
        code = self.window.pad_code
        if isinstance(self.source, Shift):
            code += self.source.by
        return code * self.source.unit

    @property
    def largest_code(self):
        """The largest magnitude of a code that is summed, padding's too."""
        padded = 0.0 if self.window is None else self.window.pad_code
        return max(np.abs(self.source.levels).max(), abs(padded))


@dataclasses.dataclass(eq=False)
class Threshold(Node):
    """Codes from a sum: `levels[number of k with y >= thresholds[k]]`.

    `y` is the sum after `steps`, each a pooling layer or an array of ±1 per
    channel to multiply with. `folded` are the layers that the thresholds stand
    for.
    """

    source: Sum = None
    steps: list = dataclasses.field(default_factory=list)
    thresholds: np.ndarray = None
    folded: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Graph:
    """The graph of a model.

    Args:
        inputs: The input nodes, in the model's order.
        outputs: The output nodes, in the model's order.
        codes: What the quantizers of activations return, in the order in
            which the model calls them.
        input_names: Names of the inputs.
        input_structure: How the model takes its inputs: a number for each,
            counted from 0, in lists and dictionaries as nested as theirs.
        output_names: Names of the outputs.
        output_structure: How it returns its outputs, likewise.

    Attributes:
        nodes: All nodes, each after its sources, numbered in that order.
    """

    inputs: list
    outputs: list
    codes: list
    input_names: list
    input_structure: object
    output_names: list
    output_structure: object

    def __post_init__(self):
        self.nodes = []
        for node in self.inputs:
            self._add(node)
        # Not by recursion: networks of hundreds of layers are fine.
        for output in self.outputs:
            stack = [output]
            while stack:
                waiting = [s for s in stack[-1].sources() if s.number is None]
                if waiting:
                    stack.extend(waiting)
                else:
                    self._add(stack.pop())

    def _add(self, node):
        if node.number is None:
            node.number = len(self.nodes)
            self.nodes.append(node)

    @property
    def sums(self):
        """The quantized layers."""
        return [node for node in self.nodes if isinstance(node, Sum)]
