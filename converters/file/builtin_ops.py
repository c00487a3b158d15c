"""Builtin operators put into a finished file."""

import copy
import dataclasses

import numpy as np
from flatbuffers import flexbuffers

from keras_aqe_runtime.file import flatbuffer
from keras_aqe_runtime.file.flatbuffer import schema

_NARROW_TYPES = {2: schema.TensorType.INT2, 4: schema.TensorType.INT4}


@dataclasses.dataclass(frozen=True)
class Constant:
    """A constant input of an operator.

    Args:
        values: NumPy array.
        scales: Scale of the tensor or scales of its channels, `None` for
            floats.
        axis: Axis of the channels.
        name: Name of the tensor.
        dequantized: Whether the operator reads it as float32, behind a
            DEQUANTIZE that interpreters do once.
        bits: 2 or 4 to store int8 values in so many bits each.
    """

    values: np.ndarray
    scales: object = None
    axis: int = 0
    name: str = ""
    dequantized: bool = False
    bits: int = 8


@dataclasses.dataclass(frozen=True)
class Operator:
    """A builtin operator.

    Args:
        name: Its name in TFLite's schema, as `CONV_2D`.
        options: Its options, an object of the schema's object API, or `None`.
        version: The first version that knows these types of tensors.
        constants: `Constant`s, its inputs after the tensors.
        scale: Scale of its result, `None` for floats.
    """

    name: str
    options: object
    version: int
    constants: tuple = ()
    scale: float | None = None


class Graph:
    """A graph of a file, under change.

    Args:
        model: A parsed file.
        number: Which of its graphs; those after the first are loops.
    """

    def __init__(self, model, number=0):
        self._model = model
        self._graph = model.subgraphs[number]
        self._codes = {}

    def take_operators(self):
        operators, self._graph.operators = self._graph.operators, []
        return operators

    def keep(self, operator):
        """Keeps an operator that moves codes or knows only floats."""
        tensors = [self._graph.tensors[i] for i in operator.inputs if i >= 0]
        scaled = [
            tensor.quantization
            for tensor in tensors
            if tensor.type == schema.TensorType.INT8
            and tensor.quantization is not None
            and tensor.quantization.scale is not None
        ]
        outputs = [self._graph.tensors[i] for i in operator.outputs]
        for tensor in [*tensors, *outputs] if scaled else []:
            if tensor.type == schema.TensorType.INT8:
                tensor.quantization = scaled[0]
        self._graph.operators.append(operator)

    def insert(self, operator, placeholder):
        """Puts an operator in the place of another one.

        Args:
            operator: An `Operator`.
            placeholder: The other one, with its inputs and outputs.
        """
        constants = [self.constant(c) for c in operator.constants]
        if operator.scale is not None:
            for index in placeholder.outputs:
                self._graph.tensors[index].quantization = _quantization(
                    operator.scale
                )
        self._append(
            operator.name,
            operator.version,
            operator.options,
            [*placeholder.inputs, *constants],
            placeholder.outputs,
        )

    def compute(self, operator, inputs):
        """Adds a float operator whose result has the shape of its first input.

        Args:
            operator: An `Operator`.
            inputs: Indices of the tensors that it takes.

        Returns:
            The index of the result.
        """
        tensor = copy.copy(self._graph.tensors[inputs[0]])
        tensor.name = tensor.name + b"/" + operator.name.lower().encode()
        tensor.buffer = 0
        self._graph.tensors.append(tensor)
        placed = schema.OperatorT()
        placed.inputs = inputs
        placed.outputs = [len(self._graph.tensors) - 1]
        self.insert(operator, placed)
        return placed.outputs[0]

    def constant(self, constant):
        """Adds a `Constant`; returns the index of its tensor."""
        values = np.ascontiguousarray(constant.values)
        buffer = schema.BufferT()
        buffer.data = values.reshape(-1).view("uint8")
        if constant.bits < 8:
            buffer.data = _joined(buffer.data, constant.bits)
        self._model.buffers.append(buffer)
        stored = self._tensor(constant, str(values.dtype))
        self._graph.tensors[stored].buffer = len(self._model.buffers) - 1
        if not constant.dequantized:
            return stored
        plain = dataclasses.replace(
            constant, scales=None, name=f"{constant.name}/dequantized"
        )
        read = self._tensor(plain, "float32")
        version = 3 if values.dtype == np.float16 else 2
        options = schema.DequantizeOptionsT()
        self._append("DEQUANTIZE", version, options, [stored], [read])
        return read

    def _tensor(self, constant, dtype):
        tensor = schema.TensorT()
        tensor.name = constant.name.encode()
        tensor.type = _NARROW_TYPES.get(
            constant.bits, getattr(schema.TensorType, dtype.upper())
        )
        tensor.shape = list(constant.values.shape)
        tensor.buffer = 0
        if constant.scales is not None:
            tensor.quantization = _quantization(constant.scales, constant.axis)
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def make_custom(self, operator, name, options):
        """Makes an operator a custom one.

        Args:
            operator: The operator.
            name: Its new name.
            options: A dict from strings to integers.
        """
        operator.opcodeIndex = self._code("CUSTOM", 1, name.encode())
        options = {key: int(value) for key, value in options.items()}
        operator.customOptions = np.frombuffer(
            flexbuffers.Dumps(options), "uint8"
        )

    def _append(self, name, version, options, inputs, outputs):
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(name, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(
                schema.BuiltinOptions, type(options).__name__.removesuffix("T")
            )
        self._graph.operators.append(operator)

    def _code(self, name, version, custom=None):
        key = name, version, custom
        if key not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            # Readers from before the 127th operator look here.
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            code.version, code.customCode = version, custom
            self._model.operatorCodes.append(code)
            self._codes[key] = len(self._model.operatorCodes) - 1
        return self._codes[key]

    def drop_unread(self, names, wanted=()):
        """Drops operators of some names whose results nothing reads.

        Args:
            names: The names.
            wanted: Indices of tensors that count as read.
        """
        read, kept = {*self._graph.outputs, *wanted}, []
        found = flatbuffer.operator_names(self._model, self._graph)
        for name, operator in zip(found[::-1], self._graph.operators[::-1]):
            if name not in names or read.intersection(operator.outputs):
                read.update(operator.inputs)
                kept.append(operator)
        self._graph.operators = kept[::-1]

    def drop_unused_codes(self):
        """Interpreters refuse files that name a custom operator at all."""
        codes = self._model.operatorCodes
        # Those of loops stand in graphs of their own.
        operators = [
            operator
            for graph in self._model.subgraphs
            for operator in graph.operators
        ]
        used = sorted({operator.opcodeIndex for operator in operators})
        for operator in operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)
        self._model.operatorCodes = [codes[index] for index in used]


def _joined(values, bits):
    """Bytes of the lowest bits of each value, the first one lowest."""
    per_byte = 8 // bits
    padded = np.append(values, np.zeros(-len(values) % per_byte, "uint8"))
    fields = padded.reshape(-1, per_byte) & (2**bits - 1)
    shifts = np.arange(0, 8, bits, dtype="uint8")
    return np.bitwise_or.reduce(fields << shifts, axis=1)


def _quantization(scales, axis=0):
    quantization = schema.QuantizationParametersT()
    quantization.scale = np.atleast_1d(np.asarray(scales, "float32"))
    quantization.zeroPoint = np.zeros(quantization.scale.shape, "int64")
    quantization.quantizedDimension = axis
    return quantization
