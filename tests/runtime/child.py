"""Runs `model.tflite` of a folder for `x.npy`, and writes `y.npy`.

Usage: child.py PACKAGE FOLDER LIBRARY THREADS RESOLVER, where an empty
LIBRARY means no delegate. It needs NumPy and the package only.
"""

import importlib
import sys

import numpy as np

package, folder, library, threads, resolver = sys.argv[1:]
tflite = importlib.import_module(package + ".interpreter")
delegates = []
if library:
    delegates.append(tflite.load_delegate(library, {"num_threads": threads}))
engine = tflite.Interpreter(
    folder + "/model.tflite",
    experimental_delegates=delegates,
    experimental_op_resolver_type=tflite.OpResolverType[resolver],
    num_threads=int(threads),
)
x = np.load(folder + "/x.npy")
source = engine.get_input_details()[0]["index"]
engine.resize_tensor_input(source, x.shape)
engine.allocate_tensors()
engine.set_tensor(source, x)
engine.invoke()
target = engine.get_output_details()[0]["index"]
np.save(folder + "/y.npy", engine.get_tensor(target))
