"""Reads what a .tflite file holds."""

import dataclasses

import numpy as np

from keras_aqe.converters.errors import ConversionError


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator of a file that carries weights.

    Args:
        name: Builtin or custom name, as `CONV_2D` or `LceBconv2d`.
        channels: Output channels.
        weight_bytes: Bytes of its kernel's buffer.
    """

    name: str
    channels: int
    weight_bytes: int


_KERNELS = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 0,
    "BATCH_MATMUL": -1,
    "LceBconv2d": 0,
}


def read(flatbuffer):
    """Parses a file into the object API of TFLite's schema.

    Raises:
        ConversionError: If the bytes are not a TFLite file.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    if len(flatbuffer) < 8 or bytes(flatbuffer[4:8]) != b"TFL3":
        raise ConversionError(
            "These bytes are no .tflite file: the identifier 'TFL3' is "
            f"missing from bytes 4 to 7. Received {len(flatbuffer)} bytes."
        )
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))


def in_signature_order(flatbuffer):
    """Sorts a file's inputs and outputs as its signature names them.

    Larq Compute Engine's converter lists them in an order of its own, and
    interpreters go by the list.

    Args:
        flatbuffer: A file with one signature, as bytes.

    Returns:
        The same file with its two lists put in order, as bytes.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    flatbuffer = bytearray(flatbuffer)
    model = schema.Model.GetRootAs(flatbuffer, 0)
    graph, signature = model.Subgraphs(0), model.SignatureDefs(0)
    # These arrays are views into the bytes.
    for indices, count, entry in (
        (graph.InputsAsNumpy(), graph.InputsLength(), signature.Inputs),
        (graph.OutputsAsNumpy(), graph.OutputsLength(), signature.Outputs),
    ):
        named = sorted((entry(i).Name(), entry(i)) for i in range(count))
        indices[:] = [tensor.TensorIndex() for _, tensor in named]
    return bytes(flatbuffer)


def operator_names(model):
    """The names of a file's operators, one for each, in their order."""
    from tensorflow.lite.python import schema_py_generated as schema

    builtin = {
        code: name
        for name, code in vars(schema.BuiltinOperator).items()
        if isinstance(code, int)
    }
    names = []
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        custom = code.customCode
        names.append(custom.decode() if custom else builtin[number])
    return names


def weighted_operators(flatbuffer):
    """The operators that multiply with a constant kernel, in file order."""
    model = read(flatbuffer)
    graph = model.subgraphs[0]
    named = list(zip(operator_names(model), graph.operators))
    stored = {
        operator.outputs[0]: operator.inputs[0]
        for name, operator in named
        if name == "DEQUANTIZE"
    }
    found = []
    for name, operator in named:
        if name not in _KERNELS:
            continue
        kernel = operator.inputs[1]
        kernel = graph.tensors[stored.get(kernel, kernel)]
        data = model.buffers[kernel.buffer].data
        if data is None:
            continue
        channels = int(kernel.shape[_KERNELS[name]])
        found.append(Operator(name, channels, np.asarray(data).nbytes))
    return found
