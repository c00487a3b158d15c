"""Speed and memory of packed files against plain int8 and LCE.

    python -m benchmarks.inference
    python -m benchmarks.inference --networks
    python -m benchmarks.inference --networks MobileNet
    python -m benchmarks.inference --batch 8 32

print Markdown tables. All files are timed in one process and in turn. Networks
are fresh: time does not depend on what their weights have learned.
"""

import argparse
import functools

import keras
import numpy as np
import tensorflow as tf

import keras_aqe as aqe
from benchmarks import baselines, mobilenet
from keras_aqe import converters
from keras_aqe.converters import comparison
from keras_aqe.converters.file.custom_ops import to_model
from keras_aqe.converters.graph import nodes
from keras_aqe.converters.targets.packed import operators as packed_ops
from keras_aqe.converters.targets.packed import packing
from keras_aqe_runtime.file import flatbuffer

BITS = (1, 2, 3)
SAME = tuple((bits, bits) for bits in BITS)
PAIRS = [f"{bits}/{bits}" for bits in BITS]
# What most are compared with.
PLAIN = "int8, XNNPACK"
# Times faster than plain int8 with XNNPACK that is asked for, at 1, 2, 3 bits.
MODEL_A, CONVOLUTION, DENSE = (4, 1.8, 1.1), (5, 2, 1), (10, 5, 2)
THAN_LCE, AVX2_ONLY, TWO_THREADS = 10, 1, 1.5
# Compared with the same layers in int8: what builds them from the widths of
# inputs and kernels, the widths, and the targets.
NO_TARGETS = (None, None, None)
NETWORKS = {
    "ResNet-18, 224x224": (aqe.models.ResNet18, SAME, (2.5, 1.7, 1.1)),
    "ResNet-110, 32x32": (aqe.models.ResNet110, SAME, (2, 1.5, 1.1)),
    "DenseNet-100, 32x32": (
        aqe.models.DenseNet100,
        SAME,
        (2.0, 1.4, 1.05),
    ),
    "MobileNetV1, 224x224": (
        mobilenet.mobilenet_v1,
        (*SAME, (8, 3)),
        (1.8, 1.4, 1.1, None),
    ),
    "MobileNetV2, 224x224": (
        mobilenet.mobilenet_v2,
        (*SAME, (8, 3)),
        (*NO_TARGETS, None),
    ),
    "MobileNetV2, depthwise layers 8/4, 224x224": (
        functools.partial(mobilenet.mobilenet_v2, depthwise_bits=(8, 4)),
        SAME,
        NO_TARGETS,
    ),
}
# What files of networks take, and the normalisation in them. Those of int8 take
# images of int8.
IMAGES = {
    "uint8 image": keras.layers.Rescaling(1 / 127.5, -1),
    "float image": None,
}
# Files of builtin operators may take 1.15, 1.15 and 1.4 times as long.
BUILTIN = (0.87, 0.87, 0.71)


def one_layer(bits, kernel_shape, input_shape):
    """A file of one packed operator between packed codes."""
    levels = packing.LEVELS[bits]
    kernel = np.random.default_rng(0).choice(levels, kernel_shape)
    channels, outputs = kernel_shape[-2:]
    if len(kernel_shape) == 2:
        channels, window = input_shape[-1], None
    else:
        window = nodes.Window((1, 1), (1, 1), ((1, 1), (1, 1)))
    words = (None, *input_shape[:-1], packing.words(channels, bits))
    spread = np.sqrt(kernel[..., 0].size) * np.arange(1, len(levels))
    thresholds = np.repeat(spread[:, None].astype("int32"), outputs, axis=1)

    @tf.function(input_signature=[tf.TensorSpec(words, tf.int64)])
    def infer(x):
        return packed_ops.weighted_sum(
            packed_ops.Codes(x, bits, channels),
            kernel,
            bits,
            packed_ops.to_codes(bits, thresholds),
            (None, *input_shape[:-1], outputs),
            window,
        ).tensor

    model, _ = to_model(infer)
    return flatbuffer.write(model)


class Comparison:
    """Rows of the table: what was measured against what.

    Args:
        rounds: Times that each file is run.
    """

    def __init__(self, rounds):
        self._rounds = rounds

    def times(self, what, ours, names, other, theirs, targets):
        """Prints a row for each of our files.

        Args:
            what: What is run.
            ours: Functions to time.
            names: What each of them is.
            other: What `theirs` is.
            theirs: Functions to time them against; the fastest counts.
            targets: How many times faster than it each is to be, or `None`.
        """
        runs = [*ours, *theirs]
        measured = comparison.median_ms(dict(enumerate(runs)), self._rounds)
        against = min(measured[i] for i in range(len(ours), len(runs)))
        for index, (name, target) in enumerate(zip(names, targets)):
            self.row(
                f"{what}, {name}",
                f"{measured[index]:.3f} ms",
                other,
                f"{against:.3f} ms",
                against / measured[index],
                target,
            )

    def row(self, what, ours, other, theirs, ratio, target):
        verdict = "" if target is None or ratio >= target else " (missed)"
        print(
            f"| {what} | {ours} | {other} | {theirs} | {ratio:.2f} | "
            f"{'' if target is None else target}{verdict} |",
            flush=True,
        )


def compare_networks(compare, names):
    for what, (build, widths, targets) in NETWORKS.items():
        if names and not any(name in what for name in names):
            continue
        models = [build(*pair) for pair in widths]
        int8 = comparison.int8(build(32, 32))
        for takes, image in IMAGES.items():
            compare.times(
                f"{what}, {takes}",
                [
                    comparison.runner(
                        converters.convert(model, image=image).flatbuffer
                    )
                    for model in models
                ],
                [f"{inputs}/{weights}" for inputs, weights in widths],
                PLAIN,
                [comparison.runner(int8)],
                targets,
            )


def compare_batches(compare, batches):
    for what, (packed, plain) in baselines.SERVED.items():
        files = [converters.convert(packed(bits)).flatbuffer for bits in BITS]
        int8 = comparison.int8(plain())
        for batch in batches:
            compare.times(
                f"{what}, batch {batch}",
                [comparison.runner(file, batch=batch) for file in files],
                PAIRS,
                PLAIN,
                [comparison.runner(int8, batch=batch)],
                NO_TARGETS,
            )


def compare_layers(compare):
    runner = comparison.runner
    compare.times(
        "3x3 convolution, 16x16x256 to 256",
        [
            runner(one_layer(bits, (3, 3, 256, 256), (16, 16, 256)))
            for bits in BITS
        ],
        PAIRS,
        PLAIN,
        [runner(comparison.int8(baselines.convolution()))],
        CONVOLUTION,
    )
    compare.times(
        "dense, 8192 to 1024",
        [runner(one_layer(bits, (8192, 1024), (8192,))) for bits in BITS],
        PAIRS,
        PLAIN,
        [runner(comparison.int8(baselines.dense()))],
        DENSE,
    )


def compare_model_a(compare):
    runner = comparison.runner
    packed = [
        converters.convert(aqe.models.MINWNet("A", bits, bits)).flatbuffer
        for bits in BITS
    ]
    builtin = [
        converters.convert(
            aqe.models.MINWNet("A", bits, bits), target="tflite"
        ).flatbuffer
        for bits in BITS
    ]
    int8 = comparison.int8(baselines.conv_net("A"))
    lce = converters.convert(
        aqe.models.MINWNet("A", 1, 1, pad_value=1.0), target="lce"
    ).flatbuffer

    compare.times(
        "Model A",
        [runner(file) for file in packed],
        PAIRS,
        PLAIN,
        [runner(int8)],
        MODEL_A,
    )
    compare.times(
        "Model A",
        [runner(packed[0])],
        PAIRS,
        "LCE",
        [comparison.lce_runner(lce, xnnpack) for xnnpack in (False, True)],
        [THAN_LCE],
    )
    compare.times(
        "Model A, AVX2 kernels only",
        [runner(packed[0], features="avx2")],
        PAIRS,
        PLAIN,
        [runner(int8)],
        [AVX2_ONLY],
    )
    compare.times(
        "Model A, 2 threads",
        [runner(packed[0], num_threads=2)],
        PAIRS,
        "1 thread",
        [runner(packed[0])],
        [TWO_THREADS],
    )
    compare.times(
        "Model A, builtin operators",
        [runner(file) for file in builtin],
        PAIRS,
        PLAIN,
        [runner(int8)],
        BUILTIN,
    )
    theirs = comparison.peak_mib(int8)
    for file, pair in zip(packed, PAIRS):
        ours = comparison.peak_mib(file)
        compare.row(
            f"Model A, peak memory, {pair}",
            f"{ours:.1f} MiB",
            PLAIN,
            f"{theirs:.1f} MiB",
            theirs / ours,
            1,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument(
        "--networks",
        nargs="*",
        metavar="NAME",
        help="networks whose names have one of these in them, or all",
    )
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        help="networks that servers run, at these batch sizes",
    )
    args = parser.parse_args()
    print("| what | ours | against | takes | ratio | target |")
    print("|---|---|---|---|---|---|")
    compare = Comparison(args.rounds)
    if args.batch:
        compare_batches(compare, args.batch)
    elif args.networks is not None:
        compare_networks(compare, args.networks)
    else:
        compare_model_a(compare)
        compare_layers(compare)
