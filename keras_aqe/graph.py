"""Functional graphs, nested ones too, walked node by node."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of an operation in a graph.

    Args:
        path: Names of the models that it is nested in and its own, such as
            "inner/conv1".
        node: Keras's node, with the operation and its tensors.
        args: Arguments, with values in place of tensors.
        kwargs: Keyword arguments, likewise.
    """

    path: str
    node: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def operation(self) -> keras.Operation:
        """The layer or other operation that is called."""
        return self.node.operation

    def infer(self) -> Any:
        """What the operation returns at inference."""
        kwargs = self.kwargs
        if getattr(self.operation, "_call_has_training_arg", False):
            kwargs = {**kwargs, "training": False}
        return self.operation(*self.args, **kwargs)

    def map(self, function: Callable[[Any], Any]) -> "Call":
        """The call with a function's results in place of all arguments."""
        args, kwargs = keras.tree.map_structure(
            function, (self.args, self.kwargs)
        )
        return dataclasses.replace(self, args=args, kwargs=kwargs)

    def values(self, cls: type) -> list[Any]:
        """The arguments of a class, in order."""
        flat = keras.tree.flatten((self.args, self.kwargs))
        return [value for value in flat if isinstance(value, cls)]


def functional(model: keras.Model, caller: str) -> Any:
    """Returns the graph of a Functional or Sequential model.

    Args:
        model: A built `keras.Model`.
        caller: Name of the function that needs it, for the errors.

    Raises:
        ValueError: If the model is not built, has no graph or is a path.
    """
    if isinstance(model, (str, os.PathLike)):
        raise ValueError(
            f"`{caller}` takes a model. Received the path {str(model)!r}. Load "
            "it first: `keras.models.load_model(path)`."
        )
    kind, name = type(model).__name__, getattr(model, "name", "")
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"`{caller}` needs the shapes of Sequential model {name!r}, "
                "which is not built. Give it a `keras.Input`, or call it on "
                "data first."
            )
        return model._functional
    if not has_graph(model):
        raise ValueError(
            f"`{caller}` takes Functional and Sequential models, since only "
            f"their graph is known. Received: {kind} {name!r}. Rebuild a "
            "subclassed model as a Functional one: `inputs = "
            "keras.Input(shape)`, then `keras.Model(inputs, "
            "model.call(inputs))`, which keeps its trained layers."
        )
    return model


def has_graph(model: Any) -> bool:
    """Whether something is a model whose graph is known."""
    if isinstance(model, keras.Sequential):
        return model.built
    return isinstance(model, keras.Model) and hasattr(model, "_nodes_by_depth")


def run(
    graph: Any,
    values: Sequence[Any],
    visit: Callable[[Call], Any],
    prefix: str = "",
) -> list[Any]:
    """Runs values of any kind through a graph.

    A value is dropped once no node needs it any more.

    Args:
        graph: A Functional model.
        values: A value for each of its inputs.
        visit: Function that is given each `Call`, those in nested models too,
            and returns a value for each of its outputs.
        prefix: Path of the graph with a "/" behind it, if it is nested.

    Returns:
        The values of the outputs, as a list.
    """
    # Keras has no public way to walk a Functional model.
    nodes = [
        node
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
        if not node.is_input
    ]
    needed = Counter(id(x) for node in nodes for x in node.input_tensors)
    needed.update(id(x) for x in graph.outputs)
    found = {id(x): value for x, value in zip(graph.inputs, values)}
    for node in nodes:
        args, kwargs = node.arguments.fill_in(found)
        path = prefix + node.operation.name
        if has_graph(node.operation):
            inner = functional(node.operation, "run")
            outputs = run(inner, keras.tree.flatten(args), visit, f"{path}/")
        else:
            outputs = visit(Call(path, node, args, kwargs))
        outputs = keras.tree.flatten(outputs)
        found.update(zip(map(id, node.output_tensors), outputs))
        for x in node.input_tensors:
            needed[id(x)] -= 1
            if not needed[id(x)]:
                found.pop(id(x), None)
    return [found[id(x)] for x in graph.outputs]


def as_inputs(graph: Any, data: Any, argument: str) -> list[Any]:
    """Returns tensors for the inputs of a graph, in their order.

    Args:
        graph: A Functional model.
        data: A batch in the structure that the model takes, by name or not.
        argument: What `data` is called where it was given, for the errors.

    Raises:
        ValueError: If it is another number of arrays, or of other shapes.
    """
    if isinstance(data, dict) and not isinstance(graph.input, dict):
        names = [tensor.name for tensor in graph.inputs]
        if set(names) == set(data):
            data = [data[name] for name in names]
    flat = keras.tree.flatten(data)
    if len(flat) != len(graph.inputs) or not all(
        hasattr(array, "shape") for array in flat
    ):
        raise ValueError(
            f"`{argument}` must be arrays for one batch, in the structure that "
            f"model {graph.name!r} takes ({len(graph.inputs)} of them). "
            f"Received: {type(data).__name__} of {len(flat)}. Of a "
            "`tf.data.Dataset` of pairs give `next(iter(dataset))[0]`."
        )
    for array, tensor in zip(flat, graph.inputs):
        if len(array.shape) != len(tensor.shape) or any(
            size not in (None, given)
            for given, size in zip(array.shape[1:], tensor.shape[1:])
        ):
            raise ValueError(
                f"`{argument}`: input {tensor.name!r} of model {graph.name!r} "
                f"takes shape {(None, *tensor.shape[1:])}. Received: shape "
                f"{tuple(array.shape)}"
            )
    return [
        keras.ops.convert_to_tensor(array, dtype=tensor.dtype)
        for array, tensor in zip(flat, graph.inputs)
    ]
