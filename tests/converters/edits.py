"""Edits that leave a file whole: of its operators, tensors and description."""

import contextlib
import pickle
import struct

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from keras_aqe_runtime.file import flatbuffer, metadata

_SMALL = (-(2**31), -(2**15), -2, -1, 0, 1, 2, 3, 4, 7, 32, 63, 64, 65, 255)
_NUMBERS = (*_SMALL, 2**15, 2**16, 2**20, 2**24, 2**30, 2**31 - 1)
_FLOATS = (0.0, -0.0, -1.0, 1e-44, 1e-20, 1.0, 3.0, 1e10, 1e38, np.inf, np.nan)
_TYPES = [n for n in vars(schema.TensorType).values() if isinstance(n, int)]
_CODES = sorted(
    code
    for code in vars(schema.BuiltinOperator).values()
    if isinstance(code, int)
)


class Editor:
    """Edits files at random, each one to three times.

    Args:
        files: Bytes of files with descriptions.
    """

    def __init__(self, files):
        parsed = [flatbuffer.read(data) for data in files]
        self._files = [
            pickle.dumps((model, metadata.read(model))) for model in parsed
        ]

    def edited(self, seed):
        """The bytes of an edited file, and the names of the edits."""
        self._random = np.random.default_rng(seed)
        while True:
            # Faster than to parse it.
            model, description = pickle.loads(self._of(self._files))
            done = [self._edit(model) for _ in range(self._of((1, 1, 2, 3)))]
            try:
                if self._random.random() < 0.7:
                    model.metadata = None
                    return flatbuffer.write(model), done
                if self._random.random() < 0.3:
                    done.append("description")
                    self._description(description)
                # The digest is of the types that a reader gets.
                model = flatbuffer.read(flatbuffer.write(model))
                return metadata.seal(model, description), done
            except (TypeError, ValueError, struct.error):
                continue  # nothing that can be written, or be parsed again

    def _edit(self, model):
        while True:
            edit = self._of(EDITS)
            # Where there is nothing of the kind to edit, another.
            with contextlib.suppress(
                AttributeError, IndexError, TypeError, ValueError
            ):
                edit(self, model)
                return edit.__name__.strip("_")

    def _of(self, choices):
        return choices[self._random.integers(len(choices))]

    def _graph(self, model):
        return self._of(model.subgraphs)

    def _operator(self, model):
        return self._of(self._graph(model).operators)

    def _any_tensor(self, model):
        return self._of(self._graph(model).tensors)

    def _number(self):
        return self._of(_NUMBERS)

    # Operators.

    def _exchange_code(self, model):
        self._operator(model).opcodeIndex = self._random.integers(
            len(model.operatorCodes)
        )

    def _other_builtin(self, model):
        code = self._of(model.operatorCodes)
        code.builtinCode = self._of(_CODES)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        if self._random.random() < 0.8:
            code.customCode = None

    def _builtin_of_one(self, model):
        """One operator becomes another builtin one, the others stay."""
        code = schema.OperatorCodeT()
        code.builtinCode = self._of(_CODES)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = int(self._random.integers(1, 6))
        model.operatorCodes.append(code)
        operator = self._operator(model)
        operator.opcodeIndex = len(model.operatorCodes) - 1
        if self._random.random() < 0.5:
            self._fitting_options(operator, code.builtinCode)

    def _fitting_options(self, operator, number):
        name = next(
            name
            for name, code in vars(schema.BuiltinOperator).items()
            if code == number
        )
        flat = name.replace("_", "").lower() + "optionst"
        for kind, cls in vars(schema).items():
            if kind.lower() == flat:
                operator.builtinOptions = cls()
                operator.builtinOptionsType = getattr(
                    schema.BuiltinOptions, kind.removesuffix("T")
                )
                if self._random.random() < 0.5:
                    self._set_options(operator.builtinOptions)

    def _version(self, model):
        self._of(model.operatorCodes).version = int(self._random.integers(0, 9))

    def _custom_name(self, model):
        code = self._of(model.operatorCodes)
        code.builtinCode = code.deprecatedBuiltinCode = 32
        code.customCode = self._of(
            [
                *(b"LceBconv2d", b"LceQuantize", b"LceDequantize"),
                *(b"LceBMaxPool2d", b"AqeConv2D", b"AqeQuantize", b"AqeX"),
                *(b"LceX", b"TFLite_Detection_PostProcess", b"FlexAdd", b""),
                *(b"AqeFullyConnected", b"AqeDequantize", b"AqeMaxPool2D"),
            ]
        )

    def _remove_operator(self, model):
        operators = self._graph(model).operators
        del operators[self._random.integers(len(operators))]

    def _repeat_operator(self, model):
        graph = self._graph(model)
        graph.operators.insert(
            self._random.integers(len(graph.operators) + 1),
            self._of(graph.operators),
        )

    def _exchange_operators(self, model):
        operators = self._graph(model).operators
        i, j = self._random.integers(len(operators), size=2)
        operators[i], operators[j] = operators[j], operators[i]

    # Their inputs and outputs.

    def _leave_out(self, model):
        operator = self._operator(model)
        inputs = np.array(operator.inputs)
        inputs[self._random.integers(len(inputs))] = -1
        operator.inputs = inputs

    def _drop_input(self, model):
        operator = self._operator(model)
        at = self._random.integers(len(operator.inputs))
        operator.inputs = np.delete(operator.inputs, at)

    def _add_input(self, model):
        graph = self._graph(model)
        operator = self._of(graph.operators)
        added = self._random.integers(-1, len(graph.tensors))
        at = self._random.integers(len(operator.inputs) + 1)
        operator.inputs = np.insert(operator.inputs, at, added)

    def _other_input(self, model):
        graph = self._graph(model)
        operator = self._of(graph.operators)
        inputs = np.array(operator.inputs)
        at = self._random.integers(len(inputs))
        inputs[at] = self._random.integers(len(graph.tensors))
        operator.inputs = inputs

    def _other_output(self, model):
        graph = self._graph(model)
        operator = self._of(graph.operators)
        outputs = np.array(operator.outputs)
        at = self._random.integers(len(outputs))
        outputs[at] = self._random.integers(-1, len(graph.tensors))
        operator.outputs = outputs

    def _no_output(self, model):
        self._operator(model).outputs = []

    def _more_outputs(self, model):
        graph = self._graph(model)
        operator = self._of(graph.operators)
        added = self._random.integers(len(graph.tensors))
        operator.outputs = np.append(operator.outputs, added)

    def _intermediates(self, model):
        graph = self._graph(model)
        operator = self._of(graph.operators)
        operator.intermediates = self._random.integers(
            -1, len(graph.tensors), size=self._random.integers(6)
        )

    # Options.

    def _no_options(self, model):
        operator = self._operator(model)
        operator.builtinOptions, operator.builtinOptionsType = None, 0

    def _options_of_another(self, model):
        operator, other = self._operator(model), self._operator(model)
        operator.builtinOptions = other.builtinOptions
        operator.builtinOptionsType = other.builtinOptionsType

    def _option(self, model):
        self._set_options(
            self._of(
                [
                    operator.builtinOptions
                    for operator in self._graph(model).operators
                    if operator.builtinOptions is not None
                ]
            )
        )

    def _set_options(self, options):
        name = self._of(sorted(vars(options)))
        before = getattr(options, name)
        if isinstance(before, (bool, np.bool_)):
            setattr(options, name, not before)
        elif isinstance(before, (float, np.floating)):
            setattr(options, name, self._of(_FLOATS))
        elif isinstance(before, (int, np.integer)):
            number = self._number()
            # Those of a byte cannot be written otherwise.
            if any(part in name for part in ("ctivation", "adding", "Format")):
                number = int(self._random.integers(0, 7))
            setattr(options, name, number)
        else:
            setattr(options, name, None)

    def _custom_option(self, model):
        operator = self._of(
            [
                operator
                for operator in self._graph(model).operators
                if operator.customOptions is not None
            ]
        )
        options = flexbuffers.Loads(bytes(bytearray(operator.customOptions)))
        name = self._of(sorted(options))
        if self._random.random() < 0.2:
            del options[name]
        else:
            options[name] = self._of([*_NUMBERS, 1.5, "text", [1], True])
        operator.customOptions = np.frombuffer(
            flexbuffers.Dumps(options), "uint8"
        )

    def _custom_bytes(self, model):
        operator = self._operator(model)
        if operator.customOptions is None or self._random.random() < 0.2:
            operator.customOptions = np.zeros(
                self._random.integers(20), "uint8"
            )
        else:
            operator.customOptions = self._other_bytes(operator.customOptions)

    def _other_bytes(self, data):
        data = np.array(data, "uint8")
        if self._random.random() < 0.3:
            return data[: self._random.integers(len(data) + 1)]
        at = self._random.integers(len(data), size=self._random.integers(1, 9))
        data[at] = self._random.integers(256, size=len(at))
        return data

    # Tensors.

    def _type(self, model):
        self._any_tensor(model).type = self._of(_TYPES)

    def _shape(self, model):
        tensor = self._any_tensor(model)
        shape = list(tensor.shape)
        kind = self._random.random()
        if kind < 0.2:
            shape = shape[:-1]
        elif kind < 0.4:
            shape = [1, *shape]
        elif kind < 0.5:
            shape = shape[::-1]
        else:
            shape[self._random.integers(len(shape))] = self._of(_SMALL[1:])
        tensor.shape = np.array(shape, "int32")
        if self._random.random() < 0.5:
            tensor.shapeSignature = None

    def _shape_signature(self, model):
        tensor = self._any_tensor(model)
        signature = np.array(tensor.shape)
        signature[self._random.integers(len(signature))] = self._of(
            (-1, -1, -1, 0, 2, -2)
        )
        tensor.shapeSignature = signature

    def _no_shape(self, model):
        tensor = self._any_tensor(model)
        tensor.shape = tensor.shapeSignature = None
        tensor.hasRank = bool(self._random.integers(2))

    def _no_quantization(self, model):
        self._quantized(model).quantization = None

    def _quantized(self, model):
        return self._of(
            [
                tensor
                for tensor in self._graph(model).tensors
                if tensor.quantization is not None
                and tensor.quantization.scale is not None
            ]
        )

    def _scale(self, model):
        quantization = self._quantized(model).quantization
        scale = np.array(quantization.scale, "float32")
        if self._random.random() < 0.5:
            scale[self._random.integers(len(scale))] = self._of(_FLOATS)
        else:
            scale = np.full(self._of((0, 1, 2, 5)), 0.5, "float32")
        quantization.scale = scale

    def _zero_point(self, model):
        self._quantized(model).quantization.zeroPoint = np.full(
            self._of((0, 1, 1, 2, 5)), self._number(), "int64"
        )

    def _axis(self, model):
        quantization = self._quantized(model).quantization
        quantization.quantizedDimension = self._of((-1, 0, 1, 3, 4, 2**30))

    def _quantize(self, model):
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.array([0.5], "float32")
        quantization.zeroPoint = np.array([0], "int64")
        self._any_tensor(model).quantization = quantization

    def _variable(self, model):
        self._any_tensor(model).isVariable = True

    def _sparse(self, model):
        sparsity = schema.SparsityParametersT()
        sparsity.traversalOrder = np.array([0, 1], "int32")
        self._any_tensor(model).sparsity = sparsity

    def _exchange_tensors(self, model):
        tensors = self._graph(model).tensors
        i, j = self._random.integers(len(tensors), size=2)
        tensors[i], tensors[j] = tensors[j], tensors[i]

    # Constants.

    def _constant(self, model):
        return self._of(
            [
                model.buffers[tensor.buffer]
                for tensor in self._graph(model).tensors
                if model.buffers[tensor.buffer].data is not None
            ]
        )

    def _constant_bytes(self, model):
        buffer = self._constant(model)
        buffer.data = self._other_bytes(buffer.data)

    def _constant_number(self, model):
        """An odd number in a constant of 32 bits."""
        buffer = self._constant(model)
        data = np.array(buffer.data, "uint8")
        words = data[: len(data) // 4 * 4].view("int32")
        words[self._random.integers(len(words))] = self._number()
        buffer.data = data

    def _no_constant(self, model):
        self._constant(model).data = None

    def _other_constant(self, model):
        self._any_tensor(model).buffer = self._random.integers(
            len(model.buffers)
        )

    def _outside_constant(self, model):
        buffer = self._constant(model)
        buffer.data, buffer.offset, buffer.size = None, 2**20, 2**20

    # The graph.

    def _graph_inputs(self, model):
        graph = self._graph(model)
        graph.inputs = self._other_list(graph.inputs, len(graph.tensors))

    def _graph_outputs(self, model):
        graph = self._graph(model)
        graph.outputs = self._other_list(graph.outputs, len(graph.tensors))

    def _other_list(self, numbers, limit):
        numbers, kind = list(numbers), self._random.random()
        if kind < 0.2:
            return numbers[:-1]
        if kind < 0.4:
            return [*numbers, self._random.integers(-1, limit)]
        if kind < 0.5:
            return [*numbers, *numbers]
        numbers[self._random.integers(len(numbers))] = self._random.integers(
            -1, limit
        )
        return numbers

    def _signature(self, model):
        signature = model.signatureDefs[0]
        entry = self._of([*signature.inputs, *signature.outputs])
        if self._random.random() < 0.5:
            entry.tensorIndex = self._of((0, 1, 5, 1000, 2**31, 2**32 - 1))
        else:
            entry.name = self._of((None, b"", b"\xff", b"x" * 1000))

    def _signature_graph(self, model):
        model.signatureDefs[0].subgraphIndex = self._of((1, 7, 2**31))

    def _no_signature(self, model):
        model.signatureDefs = self._of((None, [schema.SignatureDefT()]))

    def _repeat_graph(self, model):
        model.subgraphs.append(model.subgraphs[0])

    def _exchange_graphs(self, model):
        model.subgraphs.reverse()

    def _name(self, model):
        self._any_tensor(model).name = self._of((None, b"", b"\xff", b"a\0b"))

    # The description.

    def _description(self, description):
        place = description
        while isinstance(place, (dict, list)) and place:
            keys = sorted(place) if isinstance(place, dict) else None
            key = self._of(keys or range(len(place)))
            if not isinstance(place[key], (dict, list)) or (
                self._random.random() < 0.2
            ):
                place[key] = self._of([*_NUMBERS, None, "[/x]", [], {}, 1e999])
                return
            place = place[key]


EDITS = [
    edit
    for name, edit in vars(Editor).items()
    if name.startswith("_")
    and name
    not in (
        *("__init__", "_edit", "_of", "_graph", "_operator", "_number"),
        *("_any_tensor", "_fitting_options", "_set_options", "_other_bytes"),
        *("_quantized", "_constant", "_other_list", "_description"),
    )
    and callable(edit)
]
