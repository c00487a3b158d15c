"""What a file says of itself: version, target, layers and their operators.

Stored as JSON in a metadata buffer of the flatbuffer.
"""

import importlib.metadata
import json
import re

import numpy as np

from keras_aqe.converters.errors import ConversionError
from keras_aqe.converters.file import flatbuffer, schema
from keras_aqe.converters.graph import nodes

NAME = "keras_aqe"


def add(model, graph, target):
    """Writes a file that says which operators carry which quantized layer.

    Args:
        model: A parsed file whose tensors are named after the nodes' numbers.
        graph: The `nodes.Graph` that the file was written from.
        target: What it was converted for.

    Returns:
        The file with a metadata entry, as bytes.

    Raises:
        ConversionError: If the file has no operator for a layer.
    """
    # The digest is that of the types that a reader gets.
    model = flatbuffer.read(flatbuffer.write(model))
    ends = model.subgraphs[0]
    return seal(
        model,
        {
            "version": importlib.metadata.version("keras-aqe"),
            "target": target,
            "layers": _layers(model, graph, target),
            "codes": [_code(model, node) for node in graph.codes],
            "inputs": _tensors(graph.input_names, ends.inputs),
            "input_structure": graph.input_structure,
            "outputs": _tensors(graph.output_names, ends.outputs),
            "output_structure": graph.output_structure,
        },
    )


def seal(model, description):
    """Writes a parsed file with a description and a digest of its content.

    Args:
        model: What `flatbuffer.read` returned.
        description: A dictionary, to replace the one in the file.

    Returns:
        The file as bytes.
    """
    digest = flatbuffer.digest(model, json.dumps(description))
    entry = {"digest": digest, "description": description}
    flatbuffer.set_metadata(model, NAME, json.dumps(entry).encode())
    return flatbuffer.write(model)


def read(model):
    """The description in a file, after checking the file's content.

    Args:
        model: What `flatbuffer.read` returned.

    Returns:
        A dictionary.

    Raises:
        ConversionError: If there is none, or it is damaged.
    """
    description = find(model)
    if description is None:
        raise ConversionError(
            f"The file has no metadata entry {NAME!r}. Only files that "
            "`keras_aqe.converters.convert` wrote can be described."
        )
    return description


def find(model):
    """As `read`, but returns `None` for files from elsewhere."""
    data = flatbuffer.metadata(model, NAME)
    if data is None:
        return None
    try:
        entry = json.loads(data)
        schema.check(entry)
    except (ValueError, RecursionError) as error:
        raise ConversionError(
            f"The metadata entry {NAME!r} is damaged ({error}). Convert the "
            "model again, or copy the file again."
        ) from error
    digest, description = entry["digest"], entry["description"]
    if digest != flatbuffer.digest(model, json.dumps(description)):
        raise ConversionError(
            "The file's operators or weights are not those that were written "
            "(their digest differs): it was damaged or edited. Convert the "
            "model again, or copy the file again."
        )
    return description


def _tensors(names, indices):
    """The Keras names of a file's inputs or outputs."""
    return [
        {"name": name, "tensor": int(index)}
        for name, index in zip(names, indices, strict=True)
    ]


def _layers(model, graph, target):
    carriers = _carriers(model, graph)
    entries = []
    for node in graph.sums:
        if not carriers[node]:
            raise ConversionError(
                f"Layer {node.name!r} is in the model, but the file holds no "
                "operator for it. This is a fault of the converter; please "
                "report it with the model."
            )
        positions = int(np.prod(node.shape[1:-1], dtype="int64"))
        entries.append(
            {
                "name": node.name,
                "input_bits": node.source.bits,
                "weight_bits": node.weight_bits,
                "macs": positions * int(node.kernel.size),
                "operators": carriers[node],
                "may_be_float": _float_rule(node, graph, target),
            }
        )
    return entries


def _float_rule(node, graph, target):
    """Why a layer may run in float; `None` if it may not."""
    if node.source.is_image and target != "packed":
        return "image layer"
    if max(node.source.bits, node.weight_bits) >= 16:
        return "float width"
    feeds_float = node in graph.outputs or any(
        node in other.sources() and not isinstance(other, nodes.Threshold)
        for other in graph.nodes
    )
    return "feeds float" if target == "tflite" and feeds_float else None


def _carriers(model, graph):
    """The indices of the operators with weights, for each sum."""
    carriers = {node: [] for node in graph.sums}
    nameless = []
    for index in flatbuffer.weighted_operators(model):
        names = _numbers(model, model.subgraphs[0].operators[index])
        found = [_sum_of(graph.nodes[number]) for number in names]
        found = [node for node in found if node is not None]
        if found:
            carriers[found[0]].append(index)
        elif not names:
            nameless.append(index)
    # An operator that writes an output of the file is named after that.
    for node in graph.sums:
        if not carriers[node] and nameless:
            carriers[node].append(nameless.pop(0))
    return carriers


def _numbers(model, operator):
    """The numbers of the nodes that an operator's output is named after."""
    names = [
        model.subgraphs[0].tensors[output].name for output in operator.outputs
    ]
    return [
        int(number)
        for name in names
        for number in re.findall(r"(?:^|;)n(\d+)/", (name or b"").decode())
    ]


def _sum_of(node):
    """The sum that a node was fused with, if any."""
    while node is not None and not isinstance(node, nodes.Sum):
        if isinstance(node, nodes.Apply) and _has_kernel(node.operation):
            return None
        sources = node.sources()
        node = sources[0] if len(sources) == 1 else None
    return node


def _has_kernel(operation):
    return hasattr(operation, "kernel") or hasattr(
        operation, "depthwise_kernel"
    )


def _code(model, node):
    """Where the codes of a quantizer stand in the file."""
    entry = {
        "name": node.name,
        "bits": node.bits,
        "unit": node.unit,
        "channels": node.shape[-1],
        "tensor": None,
    }
    written = [
        int(operator.outputs[0])
        for operator in model.subgraphs[0].operators
        if _numbers(model, operator)[:1] == [node.number]
    ]
    # Floats are made of integers where both are there.
    integers = [
        tensor for tensor in written if flatbuffer.holds_integers(model, tensor)
    ]
    if written:
        entry["tensor"] = (integers or written)[-1]
    return entry
