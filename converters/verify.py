from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_aqe.callbacks import find
from keras_aqe.converters.file import codes, metadata
from keras_aqe.converters.interpreter import Interpreter
from keras_aqe.converters.load import load

if TYPE_CHECKING:
    from keras_aqe.converters.convert import Converted


@dataclasses.dataclass(frozen=True)
class Verification:
    """How a converted file compares with its model; prints as text.

    Args:
        examples: Number of inputs compared.
        label_agreement: Share of equal labels (`argmax` of the last axis), 1
            is all.
        max_relative_error: Largest difference of any output, relative to the
            largest output of the model.
        code_agreement: Share of equal codes after each quantizer, by the
            name of its layer (`#2` and so on at further calls), as far as
            they stand in the file one by one.

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

    @property
    def labels_equal(self) -> bool:
        """Whether all labels are equal."""
        return self.label_agreement == 1.0

    @property
    def codes_equal(self) -> bool:
        """Whether all codes that could be compared are equal."""
        return all(share == 1.0 for share in self.code_agreement.values())

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
        return text


def verify(
    model: keras.Model,
    converted: str | os.PathLike[str] | bytes | Converted,
    x: Any,
) -> Verification:
    """Runs a model and its converted file on the same inputs.

    Compares the outputs, and the codes after every quantizer of activations.
    The codes are read from the same file, with its inner tensors made
    outputs; those that the file does not hold as one tensor (codes of more
    than one bit under `target="lce"`) are left out.

    Args:
        model: The Keras model, run with `training=False`.
        converted: The file: what `convert` returned for the model, its path
            or its bytes.
        x: A batch of inputs, as `model` takes it.

    Returns:
        A `Verification`; of several outputs, the worst.

    Example:

    ```python
    import numpy as np
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model, target="tflite")
    images = np.zeros((2, 32, 32, 3), "float32")
    verification = converters.verify(model, converted, images)
    assert verification.labels_equal and verification.codes_equal
    ```
    """
    with _recorded(model) as calls:
        expected = keras.tree.flatten(model(x, training=False))
    expected = [keras.ops.convert_to_numpy(value) for value in expected]
    file = load(converted)
    received = keras.tree.flatten(Interpreter(file.data).predict(x))
    agreement, error = 1.0, 0.0
    for ours, theirs in zip(expected, received):
        same = ours.argmax(axis=-1) == theirs.argmax(axis=-1)
        agreement = min(agreement, float(same.mean()))
        scale = max(float(np.abs(ours).max()), float(np.finfo("float32").tiny))
        error = max(error, float(np.abs(ours - theirs).max()) / scale)
    return Verification(
        len(expected[0]),
        agreement,
        error,
        _code_agreement(file, x, calls),
    )


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


def _code_agreement(file, x, calls):
    parsed, description = file.model, file.description
    entries = description["codes"]
    exposed, compared = [], []
    for entry, call in zip(entries, calls, strict=True):
        if entry["tensor"] is not None and entry["bits"] <= 8:
            exposed.append(entry["tensor"])
            compared.append((entry, call))
    if not exposed:
        return {}
    outputs = parsed.subgraphs[0].outputs
    parsed.subgraphs[0].outputs = np.array([*outputs, *exposed], "int32")
    tensors = Interpreter(metadata.seal(parsed, description)).predict(x)
    shares = {}
    for (entry, call), tensor in zip(compared, tensors[len(outputs) :]):
        expected = np.rint(call / entry["unit"]).astype("int64")
        found = codes.decode(tensor, entry["bits"], call.shape)
        if found is not None:
            name = entry["name"]
            while name in shares:
                base, _, number = name.partition("#")
                name = f"{base}#{int(number or 1) + 1}"
            shares[name] = float((found == expected).mean())
    return shares
