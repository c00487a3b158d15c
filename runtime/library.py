import ctypes
import functools
import pathlib
import re
import tempfile
from typing import Any

_TYPES = {
    1: "1 bit",
    2: "2 bits",
    3: "3 bits",
    4: "4 bits",
    8: "8 bits",
    9: "float32",
    10: "uint8 image",
    11: "int32",
}


def library_path() -> str:
    """Path of the runtime's shared library.

    For programs that load a delegate by path: `tflite_runtime`'s
    `load_delegate`, the stock `benchmark_model` tool
    (`--external_delegate_path`), C++.

    Returns:
        The path as a string.

    Raises:
        RuntimeError: If the library is not there.

    Example:

    ```python
    from ai_edge_litert.interpreter import load_delegate
    from keras_aqe_runtime import library_path

    delegate = load_delegate(library_path(), {"num_threads": "2"})
    ```
    """
    folder = pathlib.Path(__file__).parent
    for suffix in ("so", "dylib"):
        path = folder / f"libkeras_aqe_delegate.{suffix}"
        if path.exists():
            return str(path)
    raise RuntimeError(
        f"The native runtime is not in {folder}, so packed files cannot run "
        "here: there is no wheel with it for this system, and no C++ compiler "
        "was found when it was installed from source. Install a C++17 "
        "compiler and run `pip install --force-reinstall --no-deps "
        "--no-binary :all: keras-aqe-runtime`, in a checkout `pip install "
        "--force-reinstall --no-deps .`, or convert with `target='tflite'`."
    )


def load_delegate(num_threads: int = 1, profile: bool = False) -> Any:
    """The delegate that runs packed files in a LiteRT interpreter.

    Args:
        num_threads: Threads to share each layer out to, from 1 to 256.
        profile: Whether each operator is timed, for `profile`.

    Returns:
        A delegate for `experimental_delegates` of
        `ai_edge_litert.interpreter.Interpreter` and `tf.lite.Interpreter`.

    Raises:
        RuntimeError: If the library is not there.
        ValueError: If `num_threads` is out of range.

    Example:

    ```python
    import keras_aqe as aqe
    from ai_edge_litert.interpreter import Interpreter
    from keras_aqe import converters, runtime

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converters.convert(model).save("model.tflite")
    interpreter = Interpreter(
        "model.tflite",
        experimental_delegates=[runtime.load_delegate(num_threads=2)],
    )
    ```
    """
    from ai_edge_litert import interpreter

    options = {"num_threads": str(num_threads)}
    if profile:
        options["profile"] = "1"
    return interpreter.load_delegate(library_path(), options)


def environment(**kwargs: Any) -> Any:
    """A LiteRT environment whose compiled models run packed files.

    `ai_edge_litert.compiled_model.CompiledModel` takes no delegates; in this
    environment it has ours as an accelerator. Each layer is shared out to as
    many threads as the model's `CpuOptions` say.

    Args:
        **kwargs: Further arguments of
            `ai_edge_litert.environment.Environment.create`. The accelerator
            takes the place of LiteRT's own for GPUs, and `runtime_path` is
            where it lies.

    Returns:
        An `ai_edge_litert.environment.Environment`.

    Raises:
        RuntimeError: If the library is not there.

    Example:

    ```python
    import keras_aqe as aqe
    from ai_edge_litert.compiled_model import CompiledModel
    from keras_aqe import converters, runtime

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converters.convert(model).save("model.tflite")
    compiled = CompiledModel.from_file(
        "model.tflite", environment=runtime.environment()
    )
    ```
    """
    from ai_edge_litert.environment import Environment

    return Environment.create(
        runtime_path=_accelerator_folder(library_path()).name, **kwargs
    )


@functools.cache
def _accelerator_folder(library):
    """A folder, until the process ends, with the library as LiteRT seeks it."""
    path = pathlib.Path(library)
    folder = tempfile.TemporaryDirectory(prefix="keras_aqe_")
    name = f"libLiteRtGpuAccelerator{path.suffix}"
    (pathlib.Path(folder.name) / name).symlink_to(path.resolve())
    return folder


def profile(delegate: Any) -> list[dict[str, Any]]:
    """What the operators of an interpreter run as, and what they took.

    Args:
        delegate: What `load_delegate` returned, after the interpreter that
            has it allocated its tensors.

    Returns:
        A list of one dict for each operator of the file that the delegate
        runs: `operator` (its number in the file), `kernel`, and, where the
        delegate was loaded with `profile=True`, `runs` and `nanoseconds`, of
        all runs together; else both are 0.

    Raises:
        RuntimeError: If the library is not there.

    Example:

    ```python
    import keras_aqe as aqe
    from ai_edge_litert.interpreter import Interpreter
    from keras_aqe import converters, runtime

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    delegate = runtime.load_delegate(profile=True)
    interpreter = Interpreter(
        model_content=converters.convert(model).flatbuffer,
        experimental_delegates=[delegate],
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    slowest = max(runtime.profile(delegate), key=lambda op: op["nanoseconds"])
    ```
    """
    read = ctypes.CDLL(library_path()).keras_aqe_profile
    read.restype, read.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    lines = read(delegate._get_native_delegate_pointer()).decode().splitlines()
    return [
        {
            "operator": int(operator),
            "kernel": kernel,
            "runs": int(runs),
            "nanoseconds": int(nanoseconds),
        }
        for operator, kernel, runs, nanoseconds in (
            line.split("\t") for line in lines
        )
    ]


def kernels() -> tuple[str, list[dict[str, Any]]]:
    """The features of this CPU and the kernels of the runtime.

    Returns:
        The features as a text, and what `describe` returns.

    Raises:
        RuntimeError: If the library is not there.

    Example:

    ```python
    import keras_aqe_runtime

    features, kernels = keras_aqe_runtime.kernels()
    usable = [kernel["name"] for kernel in kernels if kernel["runs_here"]]
    ```
    """
    table = ctypes.CDLL(library_path()).keras_aqe_kernel_table
    table.restype = ctypes.c_char_p
    features, *lines = table().decode().splitlines()
    return features, [_row(*line.split("\t")) for line in lines]


def describe() -> list[dict[str, Any]]:
    """Prints the kernels of the runtime and which of them can run here.

    For each layer the first kernel that fits is taken. The environment
    variable `KERAS_AQE_CPU_FEATURES` hides features of the CPU (names
    separated by commas, or `none`), `KERAS_AQE_KERNELS` puts the kernels it
    names first.

    Returns:
        A list of one dict for each kernel, in order of preference: `name`,
        `inputs`, `weights` (bits), `needs` (CPU features), `runs_here`.

    Raises:
        RuntimeError: If the library is not there.

    Example:

    ```python
    import keras_aqe_runtime

    kernels = keras_aqe_runtime.describe()
    fastest = next(kernel["name"] for kernel in kernels if kernel["runs_here"])
    ```
    """
    features, rows = kernels()
    cells = [
        ("Kernel", "Input bits", "Weight bits", "Needs", "Runs here"),
        *(
            (
                row["name"],
                re.sub(" bits?", "", ", ".join(row["inputs"])),
                ", ".join(map(str, row["weights"])),
                row["needs"],
                "yes" if row["runs_here"] else "no",
            )
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells)]
    print(f"Kernels (this CPU: {features})")
    for line in cells:
        padded = (cell.ljust(width) for cell, width in zip(line, widths))
        print("", " ".join(padded).rstrip())
    return rows


def _row(name, inputs, weights, needs, runs_here):
    return {
        "name": name,
        "inputs": [_TYPES[bit] for bit in _TYPES if int(inputs) >> bit & 1],
        "weights": [bits for bits in range(1, 5) if int(weights) >> bits & 1],
        "needs": needs,
        "runs_here": runs_here == "yes",
    }
