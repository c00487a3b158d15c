"""Time and size of converting Model A at 1/1 to Larq Compute Engine.

The network is fresh: neither depends on what its weights have learned.

    python benchmarks/conversion.py
"""

import statistics
import time

import rich
import rich.table

import keras_aqe as aqe
from keras_aqe import converters

ROUNDS = 3
MIB = 2**20


def main():
    model = aqe.models.MINWNet("A", input_bits=1, weight_bits=1)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        converted = converters.convert(model, target="lce")
        seconds.append(time.perf_counter() - began)
    float_ = converters.convert(
        aqe.models.MINWNet("A", input_bits=32, weight_bits=32),
        target="tflite",
    )
    table = rich.table.Table(
        "Model A", "measured", "target", title="Conversion"
    )
    table.add_row(
        f"conversion, median of {ROUNDS} (s)",
        f"{statistics.median(seconds):.1f}",
        "20",
    )
    table.add_row(
        "1/1 file (MiB)", f"{len(converted.flatbuffer) / MIB:.3f}", "1.35"
    )
    table.add_row("float file (MiB)", f"{len(float_.flatbuffer) / MIB:.3f}", "")
    rich.print(table)


if __name__ == "__main__":
    main()
