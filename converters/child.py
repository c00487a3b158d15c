"""Models of Keras's other backends, taken to TensorFlow by a child process."""

import contextlib
import functools
import importlib
import inspect
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import warnings

import keras
import numpy as np

from keras_aqe.alpha import find
from keras_aqe.converters.errors import ConversionError
from keras_aqe.graph import functional
from keras_aqe.metrics import quantized_kernels
from keras_aqe_runtime.errors import EngineMissingError

# Examples on which both backends, and the file, are compared.
_EXAMPLES = 4
# What the outputs of one network may differ by, relative to the largest.
_TOLERANCE = 1e-3


def under_tensorflow(function):
    """Makes a function of a model run under Keras's TensorFlow backend.

    Under another one, a child process loads the model under TensorFlow, makes
    sure that it is the same network there, and calls the function.

    Args:
        function: One of this package, of a `model` and an `image`.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        if keras.backend.backend() == "tensorflow":
            return function(*args, **kwargs)
        bound = inspect.signature(function).bind(*args, **kwargs)
        return _call_in_child(function.__name__, **bound.arguments)

    return call


def _call_in_child(name, model, image=None, **arguments):
    try:
        functional(model, name)
    except ValueError as error:
        raise ConversionError(str(error)) from None
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        _save(model, folder / "model.keras")
        if _are_layers(image):
            _save(_images(model, image), folder / "image.keras")
            image = "image.keras"
        inputs = _random_inputs(model)
        request = {
            "name": name,
            "arguments": keras.tree.map_structure(_to_numpy, arguments),
            "image": image,
            "modules": sorted(_modules(model)),
            "inputs": inputs,
            "outputs": _outputs(model, inputs),
            "codes": _codes(model),
            "backend": keras.backend.backend(),
        }
        (folder / "request").write_bytes(pickle.dumps(request))
        _run(folder)
        reply = pickle.loads((folder / "reply").read_bytes())
    for text in reply["warnings"]:
        warnings.warn(text, stacklevel=4)
    if "error" in reply:
        raise reply["error"]
    return reply["result"]


def _save(model, path):
    try:
        model.save(path)
    except Exception as error:
        raise ConversionError(
            f"Under Keras's {keras.backend.backend()!r} backend, a model is "
            "saved and loaded again under TensorFlow to be converted, and "
            f"this one cannot be saved: {error}"
        ) from error


def _run(folder):
    # What this process can import, the child can; its GPU is not free.
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    program = "from keras_aqe.converters import child; child.main()"
    child = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if child.returncode or not (folder / "reply").exists():
        lines = child.stderr.strip().splitlines() or ["without a message"]
        raise ConversionError(
            "The model is converted under Keras's TensorFlow backend in a "
            f"child process, which ended with {child.returncode}: {lines[-1]}"
        )


def _are_layers(image):
    layers = image if isinstance(image, list) else [image]
    return all(isinstance(layer, keras.layers.Layer) for layer in layers)


def _images(model, image):
    layers = image if isinstance(image, list) else [image]
    shape = model.inputs[0].shape
    return keras.Sequential([keras.Input(batch_shape=shape), *layers])


def _to_numpy(value):
    if keras.ops.is_tensor(value):
        return keras.ops.convert_to_numpy(value)
    return value


def _modules(model):
    """The modules of a model's layers, but for those of Keras and ours."""
    for layer in model._flatten_layers():
        module = type(layer).__module__
        if module.split(".")[0] not in ("keras", "keras_aqe"):
            yield module


def _random_inputs(model):
    """Examples of all inputs; `None` where sizes are left open."""
    rng = np.random.default_rng(0)
    arrays = []
    for tensor in model.inputs:
        shape = (_EXAMPLES, *tensor.shape[1:])
        if None in shape:
            return None
        if keras.backend.is_float_dtype(tensor.dtype):
            values = rng.normal(size=shape)
        else:
            values = rng.integers(0, 2, shape)
        arrays.append(values.astype(tensor.dtype))
    return arrays


def _outputs(model, inputs):
    if inputs is None:
        return []
    functional = keras.Model(model.inputs, model.outputs)
    outputs = keras.tree.flatten(functional(inputs, training=False))
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def _codes(model):
    """The codes of all quantized kernels."""
    if not find(model):
        return []
    return [
        keras.ops.convert_to_numpy(quantizer.codes(kernel))
        for kernel, quantizer in quantized_kernels(model)
    ]


def main():
    """The child: answers the request in a folder."""
    folder = pathlib.Path(sys.argv[1])
    request = pickle.loads((folder / "request").read_bytes())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            reply = {"result": _answer(folder, request)}
        except ConversionError as error:
            # Those of a subclass cannot be pickled.
            reply = {"error": ConversionError(str(error))}
        except (TypeError, ValueError) as error:
            reply = {"error": type(error)(str(error))}
    reply["warnings"] = [
        str(warning.message)
        for warning in caught
        if warning.category is UserWarning
    ]
    (folder / "reply").write_bytes(pickle.dumps(reply))


def _answer(folder, request):
    model = _load(folder / "model.keras", request["modules"])
    image = request["image"]
    if image == "image.keras":
        image = _load(folder / image, []).layers
    if image is not None:
        request["arguments"]["image"] = image
    said = _check_same(model, request)
    package = importlib.import_module("keras_aqe.converters")
    function = getattr(package, request["name"])
    result = function(model, **request["arguments"])
    if request["name"] == "convert":
        said += _check_file(model, result, image, request["inputs"])
        warnings.warn(said, stacklevel=2)
    return result


def _load(path, modules):
    for module in modules:
        # `load_model` says what is missing for it.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    try:
        # It was written by this program.
        return keras.models.load_model(path, compile=False, safe_mode=False)
    except Exception as error:
        # Keras puts the first cause last.
        _, _, cause = str(error).rpartition("Exception encountered: ")
        first = cause.strip().splitlines()[0][:300]
        raise ConversionError(
            "The model cannot be loaded under Keras's TensorFlow backend, "
            f"where it is converted: {first} Classes and "
            "functions of your own must be registered by "
            "`keras.saving.register_keras_serializable`, in a module that can "
            "be imported (not a notebook or the program that runs), and be "
            "written in `keras.ops`."
        ) from error


def _check_same(model, request):
    """Raises if the network is another one here; returns what was seen."""
    backend = request["backend"]
    pairs = zip(_codes(model), request["codes"], strict=True)
    if not all(np.array_equal(ours, theirs) for ours, theirs in pairs):
        raise ConversionError(
            "Kernels of the model have other codes under TensorFlow than "
            f"under {backend!r}. Please report this with the model."
        )
    said = (
        f"Keras runs on {backend!r}, so a child process loaded the model under "
        "TensorFlow to convert it. All kernels have the same codes there"
    )
    ours, theirs = _outputs(model, request["inputs"]), request["outputs"]
    if not ours:
        return f"{said}. "
    same = np.ones(_EXAMPLES, "bool")
    for a, b in zip(ours, theirs, strict=True):
        error = np.abs(a - b).reshape(_EXAMPLES, -1).max(axis=1)
        same &= error <= _TOLERANCE * np.abs(b).max()
    # Rounding moves a code now and then, and not in most examples.
    if 2 * same.sum() < _EXAMPLES:
        raise ConversionError(
            "The model computes something else under TensorFlow than under "
            f"{backend!r}: on {_EXAMPLES} random examples its outputs differ "
            "by more than rounding explains. Look for layers of your own that "
            "depend on the backend."
        )
    return (
        f"{said}, and the outputs are equal on {same.sum()} of {_EXAMPLES} "
        "random examples. "
    )


def _check_file(model, converted, image, inputs):
    """Raises if a file is not its model; returns what was seen."""
    if inputs is None:
        return "Its inputs have open sizes: `verify` the file on your own."
    if image is not None:
        shape = inputs[0].shape
        inputs = [np.random.default_rng(0).integers(0, 256, shape, "uint8")]
    package = importlib.import_module("keras_aqe.converters")
    try:
        verification = package.verify(model, converted, inputs, image=image)
    except EngineMissingError as error:
        return f"The file was not run: {error}"
    if not verification.faultless:
        raise ConversionError(
            f"The file is not what the model computes: {verification}. Please "
            "report this with the model."
        )
    return f"The file was verified: {verification}"
