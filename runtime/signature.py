"""What a file takes and returns, in the structure of its Keras model."""

import collections.abc

import numpy as np

from keras_aqe_runtime.file import signature as tensors


class Signature:
    """Sorts what is passed to a file by its inputs, and groups its outputs.

    The names and the structure are those of the Keras model. Files from
    elsewhere go by the names of their first signature and take and return
    lists, or an array where there is only one.

    Args:
        file: What `load` returned.

    Attributes:
        input_names: Names of the inputs.
        output_names: Names of the outputs.
        batch: Number of examples at a time, -1 for any, `None` where inputs
            have no such axis.
    """

    def __init__(self, file):
        graph = file.model.subgraphs[0]
        self._specs = [tensors.spec(graph, index) for index in graph.inputs]
        self.input_names, self._taken = _layout(file, "input")
        self.output_names, self._returned = _layout(file, "output")
        sizes = {spec.shape[:1] for spec in self._specs}
        fixed = sizes - {(-1,)}
        self.batch = None
        if sizes and () not in fixed and len(fixed) <= 1:
            (self.batch,) = min(fixed or sizes)

    def arrays(self, x):
        """The arrays for a file's inputs, in its order and of its types.

        Args:
            x: What `Interpreter.predict` takes.

        Raises:
            ValueError: If they do not fit the file.
        """
        values = {}
        self._assign(values, self._taken, x)
        arrays = [
            _cast(name, spec, values[index])
            for index, (name, spec) in enumerate(
                zip(self.input_names, self._specs)
            )
        ]
        if self.batch is not None and len(set(map(len, arrays))) > 1:
            raise ValueError(
                "All inputs must have the same number of examples. Received: "
                f"{dict(zip(self.input_names, map(len, arrays)))}"
            )
        return arrays

    def example(self, number):
        """Arrays of one example that hold one number everywhere."""
        return [
            np.full([1 if n == -1 else n for n in spec.shape], number).astype(
                spec.dtype
            )
            for spec in self._specs
        ]

    def structure(self, arrays):
        """The arrays of a file's inputs as the Keras model takes them."""
        return _grouped(self._taken, arrays)

    def group(self, outputs):
        """The file's outputs as the Keras model returns them."""
        return _grouped(self._returned, outputs)

    def _assign(self, values, structure, x):
        """Sorts `x` into `values` by the numbers of a structure."""
        by_name = isinstance(x, collections.abc.Mapping)
        if isinstance(structure, int):
            if by_name:
                (x,) = self._named(x, [self.input_names[structure]])
            elif _is_list_of_one_array(x):
                (x,) = x
            values[structure] = x
            return
        if by_name and not isinstance(structure, dict):
            # Keras takes the names of the inputs, too.
            structure = {self.input_names[i]: i for i in _numbers(structure)}
        if isinstance(structure, dict):
            # In the order of the file, which is Keras's.
            keys = sorted(structure)
            if by_name:
                x = self._named(x, keys)
            structure = [structure[key] for key in keys]
        parts = x if isinstance(x, (list, tuple)) else [x]
        if len(parts) != len(structure):
            raise ValueError(
                f"The file takes {self.described()}. Received: {len(parts)} "
                "inputs"
            )
        for inner, part in zip(structure, parts):
            self._assign(values, inner, part)

    def _named(self, x, names):
        if set(x) != set(names):
            raise ValueError(
                f"Expected inputs by the names {names}: the file takes "
                f"{self.described()}. Received: the names {list(x)}"
            )
        return [x[name] for name in names]

    def described(self):
        """The inputs in words."""
        described = [
            f"input {name!r} ({spec})"
            for name, spec in zip(self.input_names, self._specs)
        ]
        return ", ".join(described) or "no inputs"


def _is_list_of_one_array(x):
    """Whether `x` is that, and not an array of one example as a list."""
    return (
        isinstance(x, (list, tuple)) and len(x) == 1 and hasattr(x[0], "shape")
    )


def _layout(file, kind):
    """Names of the inputs or outputs, and the structure of their numbers."""
    indices = list(getattr(file.model.subgraphs[0], f"{kind}s"))
    entries = (file.description or {}).get(f"{kind}s")
    # An edited file may have others than those that are described.
    if entries and [entry["tensor"] for entry in entries] == indices:
        names = [entry["name"] for entry in entries]
        return names, file.description[f"{kind}_structure"]
    structure = 0 if len(indices) == 1 else list(range(len(indices)))
    return tensors.names(file.model, kind), structure


def _numbers(structure):
    if isinstance(structure, int):
        yield structure
    else:
        inner = structure
        if isinstance(structure, dict):
            inner = structure.values()
        for part in inner:
            yield from _numbers(part)


def _grouped(structure, values):
    if isinstance(structure, int):
        return values[structure]
    if isinstance(structure, dict):
        return {key: _grouped(part, values) for key, part in structure.items()}
    return [_grouped(part, values) for part in structure]


def _cast(name, spec, value):
    """An array of an input's type, as long as that keeps its values."""
    expected = f"Input {name!r} takes {spec}."
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{expected} Received: {error}") from error
    numbers = "biufc" if spec.dtype.kind == "c" else "biuf"
    if array.dtype.kind not in numbers:
        raise ValueError(
            f"{expected} Received: an array of {array.dtype}, made of "
            f"{type(value).__name__}. Pass numbers: an array, or of a dataset "
            "one batch, `next(iter(dataset))`."
        )
    if not spec.accepts(array.shape):
        raise ValueError(
            f"{expected} Received: shape {array.shape}. These shapes may only "
            "differ in the first axis, the number of examples."
        )
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(spec.dtype, copy=False)
    # Floats may be rounded, as Keras does; whole numbers have to stay.
    if spec.dtype.kind in "biu" and not np.array_equal(cast, array):
        raise ValueError(
            f"{expected} Received: {array.dtype} with values that this type "
            "cannot hold"
        )
    return cast
