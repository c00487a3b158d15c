import keras_aqe_runtime
from keras_aqe.converters.targets import TARGETS


class Interpreter(keras_aqe_runtime.Interpreter):
    """Runs a .tflite file, whichever target it was converted for.

    The engine is that of the target whose operators the file has: Larq
    Compute Engine's interpreter, or LiteRT, for packed files with the delegate
    of `keras_aqe.runtime`. Where TensorFlow is not installed,
    `keras_aqe_runtime.Interpreter` runs all files but those of Larq Compute
    Engine.

    Args:
        flatbuffer: The file: its path, its bytes, or what `convert`
            returned.
        num_threads: Number of threads.
        profile: Whether the operators of packed files are timed.

    Attributes:
        input_names: Names of the inputs, those of the Keras model where
            `convert` wrote the file.
        output_names: Names of the outputs, likewise.

    Raises:
        ConversionError: If it is no .tflite file or a damaged one, or needs
            an engine that is not installed (an `EngineMissingError`).
        ValueError: If `num_threads` is no positive integer.

    Example:

    ```python
    import numpy as np
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.MINWNet("D", filters=4, dense_units=8)
    converted = converters.convert(model, target="tflite")
    images = np.zeros((2, 32, 32, 3), "float32")
    logits = converters.Interpreter(converted).predict(images)
    ```
    """

    kinds = tuple(TARGETS.values())
