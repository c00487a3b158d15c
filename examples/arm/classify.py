"""The same in Python: python classify.py MODEL.tflite IMAGE.png LIBRARY.

Needs ai-edge-litert, NumPy and Pillow, and libkeras_aqe_delegate.so.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
from PIL import Image

model, image, library = sys.argv[1:]
engine = Interpreter(model, experimental_delegates=[load_delegate(library)])
engine.allocate_tensors()
(source,), (target,) = engine.get_input_details(), engine.get_output_details()
_, height, width, _ = source["shape"]
pixels = np.array(Image.open(image).convert("RGB").resize((width, height)))
if source["dtype"] == np.float32:
    pixels = np.float32(1 / 127.5) * pixels.astype("float32") - 1
engine.set_tensor(source["index"], pixels[None])
engine.invoke()
scores = engine.get_tensor(target["index"])[0]
for i in np.argsort(-scores, kind="stable")[:3]:
    print(i, f"{scores[i]:.9g}")
