"""Runs `model.tflite` of a folder for `x.npy` in a CompiledModel, and writes
`y.npy`.

Usage: compiled_child.py FOLDER LIBRARY THREADS. It needs NumPy and
ai-edge-litert only.
"""

import pathlib
import sys

import numpy as np
from ai_edge_litert import compiled_model as litert

folder, library, threads = sys.argv[1:]
accelerators = pathlib.Path(folder) / "accelerators"
accelerators.mkdir()
(accelerators / "libLiteRtGpuAccelerator.so").symlink_to(library)
options = litert.Options(
    hardware_accelerators=litert.HardwareAccelerator.CPU,
    cpu_options=litert.CpuOptions(
        num_threads=int(threads),
        # XNNPACK cannot run under qemu.
        kernel_mode=litert.CpuKernelMode.BUILTIN,
    ),
)
model = litert.CompiledModel.from_file(
    f"{folder}/model.tflite",
    environment=litert.Environment.create(runtime_path=str(accelerators)),
    options=options,
)
(source,) = model.create_input_buffers(0)
(target,) = model.create_output_buffers(0)
rows = []
for image in np.load(f"{folder}/x.npy"):
    source.write(image[None])
    model.run_by_index(0, [source], [target])
    rows.append(target.read(10, np.float32))
np.save(f"{folder}/y.npy", rows)
