"""Runs N.tflite of a folder on the inputs N.npy, in TensorFlow Lite Micro."""

import pathlib
import sys

import numpy as np
from tflite_micro import runtime

for file in sorted(pathlib.Path(sys.argv[1]).glob("*.tflite")):
    interpreter = runtime.Interpreter.from_file(str(file), arena_size=2**23)
    rows = []
    for row in np.load(file.with_suffix(".npy")):
        interpreter.set_input(row[None], 0)
        interpreter.invoke()
        rows.append(interpreter.get_output(0)[0])
    np.save(file.with_suffix(".out.npy"), rows)
