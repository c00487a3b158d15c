from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_aqe import progress, tables
from keras_aqe.callbacks import find
from keras_aqe.converters.child import under_tensorflow
from keras_aqe.converters.file.codes import Stored
from keras_aqe.converters.graph.build import build
from keras_aqe.converters.graph.pixels import with_uint8_input
from keras_aqe.converters.interpreter import Interpreter
from keras_aqe.converters.reference import Reference
from keras_aqe.converters.targets import target_of
from keras_aqe_runtime.errors import DamagedError
from keras_aqe_runtime.file import metadata
from keras_aqe_runtime.load import load
from keras_aqe_runtime.signature import Signature

if TYPE_CHECKING:
    from keras_aqe.converters.convert import Converted

# The last scale and bias may round differently, relative to the largest output.
_TOLERANCE = 1e-4


@dataclasses.dataclass(frozen=True, repr=False)
class Verification:
    """How a converted file compares with its model; prints as text.

    Two kinds of differences are told apart. Sums of whole numbers and of
    multiples of a power of two are exact. Other float sums, such as those of a
    float image, depend on the order in which an engine or a processor adds,
    and where one lies within rounding of a threshold, Keras and the file may
    have neighbouring codes. A fault is what no rounding explains: each code
    of the file is compared with what the layers of the model make of the
    *file's own* codes before it, so differences do not spread.

    Args:
        examples: Number of inputs compared.
        label_agreement: Share of equal labels (`argmax` of the last axis), 1
            is all.
        max_relative_error: Largest difference of any output, relative to the
            largest output of the model.
        code_agreement: Share of equal codes after each quantizer, by the
            name of its layer (`#2` and so on at further calls), as far as
            the file holds them.
        within_rounding: Number of codes whose sum lies within rounding of a
            threshold, by quantizer; those with none are left out.
        faults: Number of codes, by quantizer, and of values, by output, that
            no rounding explains; those with none are left out.

    Example:

    ```python
    import numpy as np
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model, target="tflite")
    images = np.zeros((2, 32, 32, 3), "float32")
    verification = converters.verify(model, converted, images)
    print(verification, verification.code_agreement)
    ```
    """

    examples: int
    label_agreement: float
    max_relative_error: float
    code_agreement: dict[str, float]
    within_rounding: dict[str, int]
    faults: dict[str, int]

    @property
    def labels_equal(self) -> bool:
        """Whether all labels are equal."""
        return self.label_agreement == 1.0

    @property
    def codes_equal(self) -> bool:
        """Whether all codes that could be compared are equal."""
        return all(share == 1.0 for share in self.code_agreement.values())

    @property
    def faultless(self) -> bool:
        """Whether rounding explains all differences, if there are any."""
        return not self.faults

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON has."""
        return {
            **dataclasses.asdict(self),
            "labels_equal": self.labels_equal,
            "codes_equal": self.codes_equal,
            "faultless": self.faultless,
        }

    def __repr__(self) -> str:
        faults = "faultless" if self.faultless else f"faults {self.faults}"
        return (
            f"<Verification of {self.examples} examples, "
            f"{100 * self.label_agreement:.2f} % of labels equal, {faults}>"
        )

    def _repr_html_(self) -> str:
        return f"<p>{tables.text_html(self)}</p>"

    def __str__(self) -> str:
        different = {
            name: share
            for name, share in self.code_agreement.items()
            if share < 1.0
        }
        text = (
            f"{self.examples} examples: {100 * self.label_agreement:.2f} % of "
            "labels equal, largest difference of logits "
            f"{self.max_relative_error:.1e} relative, codes equal after "
            f"{len(self.code_agreement) - len(different)} of "
            f"{len(self.code_agreement)} quantizers"
        )
        for name, share in different.items():
            text += f"\n{name}: {100 * share:.4f} % of codes equal"
        for name, count in self.within_rounding.items():
            text += f"\n{name}: {count} sums within rounding of a threshold"
        for name, count in self.faults.items():
            text += f"\n{name}: {count} values that no rounding explains"
        if different and self.faultless:
            text += "\nRounding of float sums explains all differences."
        return text


@under_tensorflow
def verify(
    model: keras.Model,
    converted: str | os.PathLike[str] | bytes | Converted,
    x: Any,
    image: keras.layers.Layer | list[keras.layers.Layer] | None = None,
    batch_size: int = 32,
    verbose: int = 0,
) -> Verification:
    """Runs a model and its converted file on the same inputs.

    Compares the outputs, and the codes after every quantizer of activations,
    and says of differences whether rounding explains them. The codes are read
    from the same file, with its inner tensors made outputs.

    Args:
        model: The Keras model, run with `training=False`.
        converted: The file: what `convert` returned for the model, its path
            or its bytes.
        x: A batch of inputs, as `model` takes it.
        image: What `convert` was told as `image`; `x` is then of uint8.
        batch_size: Number of examples that are compared at a time, which
            bounds the memory it takes.
        verbose: 0 for silence, 1 for a progress bar.

    Returns:
        A `Verification`; of several outputs, the worst.

    Raises:
        ConversionError: If it is no file of `convert`, or a damaged one.
        ValueError: If the file is not one of this model, or `x` does not fit.

    Example:

    ```python
    import numpy as np
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model, target="tflite")
    images = np.zeros((2, 32, 32, 3), "float32")
    verification = converters.verify(model, converted, images)
    assert verification.labels_equal and verification.faultless
    ```
    """
    if image is not None:
        model = with_uint8_input(model, image)
    comparison = _Comparison(model, load(converted))
    arrays = comparison.signature.arrays(x)
    with progress.bar("verifying", verbose, len(arrays[0])) as done:
        for start in range(0, len(arrays[0]), batch_size):
            comparison.add([a[start : start + batch_size] for a in arrays])
            done(start + batch_size)
    return comparison.result()


class _Comparison:
    """Counts equal and different values, batch by batch."""

    def __init__(self, model, file):
        self._model = model
        self.signature = Signature(file)
        description = metadata.read(file.model)
        self._entries = description["codes"]
        self._target = target_of(file.model)
        # Whether it may be converted is not for this to say.
        self._graph = build(model, allow_soft=True)
        if len(self._entries) != len(self._graph.codes) or (
            len(file.model.subgraphs[0].outputs) != len(self._graph.outputs)
        ):
            raise ValueError(
                "The file is not one of this model: it has "
                f"{len(self._entries)} quantizers of activations, and model "
                f"{model.name!r} has {len(self._graph.codes)}."
            )
        self._stored = [
            Stored.described(entry["stored"]) if "stored" in entry else None
            for entry in self._entries
        ]
        inner = [i for s in self._stored if s is not None for i in s.tensors]
        graph = file.model.subgraphs[0]
        self._outputs = len(graph.outputs)
        graph.outputs = np.array([*graph.outputs, *inner], "int32")
        self._interpreter = Interpreter(metadata.seal(file.model, description))
        self._names = _distinct([entry["name"] for entry in self._entries])
        self._examples = 0
        self._labels = np.zeros(self._outputs)
        self._error = 0.0
        self._equal, self._compared = {}, {}
        self._within_rounding, self._faults = {}, {}

    def add(self, inputs):
        """Compares a batch, one array for each input."""
        x = self.signature.structure(inputs)
        with _recorded(self._model) as calls:
            expected = self._model(x, training=False)
        expected = [np.asarray(y) for y in keras.tree.flatten(expected)]
        received = keras.tree.flatten(self._interpreter.predict(x))
        codes = self._codes(calls, received[self._outputs :])
        received = received[: self._outputs]
        self._examples += len(inputs[0])
        wanted = [
            np.float32(call / entry["unit"])
            for call, entry in zip(calls, self._entries, strict=True)
        ]
        file = self._reference(inputs, codes)
        # What the converter took the model for is checked against Keras too.
        keras_ = functools.cache(lambda: self._reference(inputs, wanted))
        for name, node, ours, theirs in zip(
            *(self._names, self._graph.codes, wanted, codes), strict=True
        ):
            if theirs is not None:
                self._add_codes(name, node, (ours, keras_), (theirs, file))
        for index, (ours, theirs) in enumerate(
            zip(expected, received, strict=True)
        ):
            self._add_output(index, (ours, keras_), (theirs, file))

    def _reference(self, inputs, codes):
        pairs = zip(self._graph.codes, codes)
        given = {node: found for node, found in pairs if found is not None}
        return Reference(self._graph, inputs, given)

    def _codes(self, calls, tensors):
        """The file's codes after each quantizer, `None` if it has none."""
        found, tensors = [], list(tensors)
        for stored, call in zip(self._stored, calls, strict=True):
            if stored is None:
                found.append(None)
                continue
            parts = [tensors.pop(0) for _ in stored.tensors]
            try:
                found.append(
                    stored.decode(parts, call.shape, self._target.decode)
                )
            except (IndexError, ValueError) as error:
                raise DamagedError(
                    f"codes are not where it says ({error})"
                ) from error
        return found

    def _add_codes(self, name, node, expected, found):
        (expected, keras_), (found, file) = expected, found
        same = found == expected
        _count(self._equal, name, same.sum())
        _count(self._compared, name, same.size)
        if same.all() and not file.is_rounded(node):
            return
        low, high = file.codes(node)
        _count(self._within_rounding, name, (low < high).sum())
        faults = (found < low) | (found > high)
        if not same.all():
            low, high = keras_().codes(node)
            faults |= (expected < low) | (expected > high)
        _count(self._faults, name, faults.sum())

    def _add_output(self, index, expected, found):
        (expected, keras_), (found, file) = expected, found
        same = expected.argmax(axis=-1) == found.argmax(axis=-1)
        self._labels[index] += same.mean() * len(expected)
        scale = max(float(np.abs(expected).max()), np.finfo("float32").tiny)
        error = float(np.abs(expected - found).max()) / scale
        self._error = max(self._error, error)
        if error > _TOLERANCE:
            node = self._graph.outputs[index]
            faults = False
            for y, reference in ((found, file), (expected, keras_())):
                off = np.abs(np.asarray(reference.value(node)) - y)
                limit = np.asarray(reference.error(node)) + _TOLERANCE * scale
                faults |= off > limit
            _count(self._faults, node.name, faults.sum())

    def result(self):
        """The `Verification`."""
        return Verification(
            self._examples,
            float(self._labels.min() / self._examples),
            self._error,
            {
                name: self._equal[name] / self._compared[name]
                for name in self._equal
            },
            {n: count for n, count in self._within_rounding.items() if count},
            {name: count for name, count in self._faults.items() if count},
        )


def _count(counts, name, number):
    counts[name] = counts.get(name, 0) + int(number)


def _distinct(names):
    """Names, with `#2` and so on behind those that came before."""
    counts, distinct = {}, []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        number = "" if counts[name] == 1 else f"#{counts[name]}"
        distinct.append(name + number)
    return distinct


@contextlib.contextmanager
def _recorded(model):
    """Lists what the quantizers of activations return, call by call."""
    calls = []

    def record(quantizer):
        owners = [
            layer
            for layer in model._flatten_layers()
            if getattr(layer, "kernel_quantizer", None) is quantizer
        ]

        def call(*args, **kwargs):
            output = type(quantizer).call(quantizer, *args, **kwargs)
            # Inside the call of its layer it is given the kernel.
            if not any(layer.is_in_call() for layer in owners):
                calls.append(keras.ops.convert_to_numpy(output))
            return output

        return call

    recorded = find(model)
    for quantizer in recorded:
        quantizer.call = record(quantizer)
    try:
        yield calls
    finally:
        for quantizer in recorded:
            del quantizer.call
