"""What the NEON kernels cost, where no ARM machine is at hand.

    python -m benchmarks.neon

prints two Markdown tables. Cycles of inner loops come from llvm-mca's models
of three cores; they leave caches out. Whole inferences run in QEMU, in the
real aarch64 LiteRT with XNNPACK: their instructions are counted, and their
cycles are those that llvm-mca has for each block of these. Beside them are
int8's inner loops alone for all multiply-accumulates. Needs llvm (llvm-mca
and llvm-mc), Debian's or Ubuntu's g++-aarch64-linux-gnu, qemu-user (7.2 to 8)
and mmdebstrap.
"""

import argparse
import re
import subprocess
import tempfile
import typing

import keras

import keras_aqe as aqe
from benchmarks import baselines, emulation, mobilenet
from benchmarks.inference import BITS
from keras_aqe import converters
from keras_aqe.converters import comparison
from tests.runtime import arm
from tests.runtime.disassembly import functions
from tests.runtime.native import build

CORES = ("cortex-a53", "cortex-a55", "cortex-a76")
# What is run on emulated cores, by its bits, and its plain network.
NETWORKS = {
    "Model D": (
        lambda bits: aqe.models.MINWNet("D", bits, bits),
        lambda: baselines.conv_net("D"),
    ),
    "ResNet-110, 32x32": (
        lambda bits: aqe.models.ResNet110(bits, bits),
        lambda: aqe.models.ResNet110(32, 32),
    ),
    "DenseNet-100, 32x32": (
        lambda bits: aqe.models.DenseNet100(bits, bits),
        lambda: aqe.models.DenseNet100(32, 32),
    ),
    "MobileNetV1, 224x224": (
        lambda bits: mobilenet.mobilenet_v1(bits, bits),
        lambda: mobilenet.mobilenet_v1(32, 32),
    ),
    "MobileNetV2, 224x224": (
        lambda bits: mobilenet.mobilenet_v2(bits, bits),
        lambda: mobilenet.mobilenet_v2(32, 32),
    ),
    "MobileNetV2, depthwise 8/4": (
        lambda bits: aqe.quantize_model(
            keras.applications.MobileNetV2(weights=None), bits, bits
        ),
        lambda: mobilenet.mobilenet_v2(32, 32),
    ),
}

# Widths of inputs and weights, what computes them, the function, and what does
# the work of 128 multiply-accumulates: so many instructions of a name.
LOOPS = (
    ("1/1", "XNOR", "planes_tile<1, 1, 4>", 1, "cnt"),
    ("1/2", "XNOR", "planes_tile<1, 2, 4>", 1, "cnt"),
    ("2/1", "XNOR", "planes_tile<2, 1, 4>", 1, "cnt"),
    ("2/2", "XNOR", "planes_tile<2, 2, 4>", 2, "cnt"),
    ("1/3", "XNOR", "planes_tile<1, 3, 2>", 3, "cnt"),
    ("3/1", "XNOR", "planes_tile<3, 1, 2>", 3, "cnt"),
    ("2/2", "multiplication", "Multiply, true, 2, 4>", 8, "mla"),
    ("2/3, 3/3", "multiplication", "Multiply, true, 4, 4>", 8, "mla"),
    ("2/3, 3/3", "SHIFT", "Shift, true, 4, 4>", 8, "ushl"),
    ("4/3, 8/3, 8/4", "multiplication", "Multiply, false, 4, 4>", 8, "smull"),
    ("4/3, 8/3, 8/4", "SHIFT", "Shift, false, 4, 4>", 16, "ushl"),
    ("all codes", "dot product", "::dot_tile<8, 4>", 8, "sdot"),
    ("all codes", "product of matrices", "::matrix_tile", 4, "smmla"),
    ("float/any", "multiplication", "::float_tile<32, 4>", 32, "fmla"),
)
# Cores that do not have a method's instructions. The models have nothing that
# has SMMLA; big cores of later years start as many of them as of SDOT.
LACKING = {
    "dot product": ("cortex-a53",),
    "int8, dot product": ("cortex-a53",),
    "product of matrices": ("cortex-a53", "cortex-a55"),
    "int8, product of matrices": ("cortex-a53", "cortex-a55"),
}

CHILD = """
import sys
from ai_edge_litert.interpreter import Interpreter, load_delegate
path, library, invokes = sys.argv[1:]
engine = Interpreter(
    path,
    num_threads=1,
    experimental_delegates=[load_delegate(library)] if library else None,
)
engine.allocate_tensors()
for _ in range(int(invokes)):
    engine.invoke()
"""


def larq_loop():
    """Larq Compute Engine's scheme for 1/1 on aarch64, from its description.

    A tile of 8 channels by 4 pixels: each step takes 64 inputs of every pixel,
    twice in a register, against two channels in each of 4 registers; the bits
    that differ are counted in bytes, added in pairs until each register holds
    the 8 channels of one pixel, and added in pairs to 16-bit sums. Loads stand
    between the counts.
    """
    pixels, channels = range(4), range(4)
    differ = [
        f"eor v{4 * w + a}.16b, v{16 + a}.16b, v{20 + w}.16b"
        for w in channels
        for a in pixels
    ]
    loads = [f"ld1r {{v{16 + a}.2d}}, [x{a}], #8" for a in pixels]
    loads += [f"ldr q{20 + w}, [x4, #{16 * w}]" for w in channels]
    count = []
    for i in range(16):
        count.append(f"cnt v{i}.16b, v{i}.16b")
        count += loads[i // 2 : i // 2 + 1] if i % 2 else []
    pairs = [(a + i, a + i + 4) for a in (0, 8) for i in range(4)]
    pairs += [(i, i + 8) for i in range(4)]
    add = [f"addp v{a}.16b, v{a}.16b, v{b}.16b" for a, b in pairs]
    total = [f"uadalp v{24 + a}.8h, v{a}.16b" for a in pixels]
    step = ["add x4, x4, #64", "subs w5, w5, #1"]
    return [*differ, *count, *add, *step, *total, "b.gt loop"]


def int8_multiply_loop():
    """Plain int8 without the dot product, by what XNNPACK publishes for it.

    The mix of qs8-qc8w-gemm 2x8c8 asm-aarch64-neon-mlal-cortex-a53, for which
    XNNPACK's authors count 74 cycles: 16 inputs of 2 pixels against 8 channels.
    Of each pair two products of 8 are added in 16 bits, and those in pairs to
    32. Every other load goes by a general register, as that core wants it.
    """
    lines = []
    for block in range(4):
        a, b = (2, 10) if block % 2 == 0 else (12, 14)
        sums = [a, a + 1, b, b + 1]
        lines += [f"ldr d9, [x5, #{72 + 16 * block}]", "ins v8.d[0], x17"]
        lines += [f"smull v{a + i}.8h, v4.8b, v{i}.8b" for i in range(2)]
        lines += [f"ldr x17, [x5, #{80 + 16 * block}]"]
        lines += [f"smull v{b + i}.8h, v5.8b, v{i}.8b" for i in range(2)]
        lines += [f"ldr d5, [x5, #{24 + 16 * block}]", "ins v4.d[0], x16"]
        lines += [f"smlal v{a + i}.8h, v8.8b, v{6 + i}.8b" for i in range(2)]
        lines += [f"ldr x16, [x5, #{32 + 16 * block}]"]
        lines += [f"smlal v{b + i}.8h, v9.8b, v{6 + i}.8b" for i in range(2)]
        if block == 3:
            lines += ["ldr x20, [x3], #8", "ldr x21, [x4], #8"]
            lines += ["ldr d6, [x3], #8", "ins v0.d[0], x20"]
            lines += ["ldr d7, [x4], #8", "ins v1.d[0], x21"]
        lines += [
            f"sadalp v{16 + 4 * block + i}.4s, v{sums[i]}.8h" for i in range(4)
        ]
    return [*lines, "subs x0, x0, #16", "add x5, x5, #128", "b.hs loop"]


def int8_dot_loop():
    """Plain int8 with the dot product.

    The mix of XNNPACK's qs8-qc8w-gemm 4x16c4 for neondot: 16 inputs of 4 pixels
    against 16 channels, loaded 16 bytes at a time.
    """
    lines = [f"ldr q{i}, [x{i}], #16" for i in range(4)]
    for lane in range(4):
        lines += [
            f"ldr q{4 + i}, [x5, #{64 * lane + 16 * i}]" for i in range(4)
        ]
        lines += [
            f"sdot v{16 + 4 * row + i}.4s, v{4 + i}.16b, v{row}.4b[{lane}]"
            for row in range(4)
            for i in range(4)
        ]
    return [*lines, "subs x6, x6, #16", "add x5, x5, #256", "b.hs loop"]


def int8_matrix_loop():
    """Plain int8 with products of matrices.

    The mix of XNNPACK's qs8-qc8w-gemm 4x16c8 for neoni8mm: 16 inputs of 4
    pixels, put together in pairs, against 16 channels.
    """
    lines = [f"ldr q{i}, [x{i}], #16" for i in range(4)]
    lines += [
        f"trn{half + 1} v{4 + 2 * half + i}.2d, v{2 * i}.2d, v{2 * i + 1}.2d"
        for half in range(2)
        for i in range(2)
    ]
    for half in range(2):
        lines += [
            f"ldr q{8 + i}, [x5, #{128 * half + 16 * i}]" for i in range(8)
        ]
        lines += [
            f"smmla v{16 + 8 * i + pair}.4s, v{4 + 2 * half + i}.16b, "
            f"v{8 + pair}.16b"
            for i in range(2)
            for pair in range(8)
        ]
    return [*lines, "subs x6, x6, #16", "add x5, x5, #256", "b.hs loop"]


# Loops that are written here: what they are, and the multiply-accumulates that
# they do in a round.
WRITTEN = (
    ("1/1", "LCE's scheme", larq_loop(), 2048),
    ("int8", "int8, multiplication", int8_multiply_loop(), 256),
    ("int8", "int8, dot product", int8_dot_loop(), 1024),
    ("int8", "int8, product of matrices", int8_matrix_loop(), 1024),
)


class Core(typing.NamedTuple):
    """What QEMU and llvm-mca call a core; what of WRITTEN is int8 there."""

    cpu: str
    model: str
    int8: int


# Without the dot product, with it, and with products of matrices; the last with
# NEON's vectors alone.
EMULATED = {
    "Cortex-A53": Core("cortex-a53", "cortex-a53", 1),
    "Cortex-A76": Core("cortex-a76", "cortex-a76", 2),
    "with SMMLA": Core("max,sve=off", "cortex-a76", 3),
}


def innermost_loops(body):
    """The loops of a function that hold no other, as assembly text."""
    index = {address: i for i, (address, _, _) in enumerate(body)}
    spans = []
    for i, (_, mnemonic, operands) in enumerate(body):
        if re.fullmatch(r"b|b\..*|cbn?z|tbn?z", mnemonic):
            start = index.get(int(operands.split(",")[-1], 16), len(body))
            if start <= i:
                spans.append((start, i))
    for start, end in spans:
        if not any(
            start <= a and b <= end for a, b in spans if (a, b) != (start, end)
        ):
            *inside, (_, mnemonic, operands) = body[start : end + 1]
            to = ",".join([*operands.split(",")[:-1], "loop"])
            yield [f"{m} {o}" for _, m, o in inside] + [f"{mnemonic} {to}"]


def marks(loop, mnemonic):
    return sum(line.split()[0] == mnemonic for line in loop)


def cycles_row(widths, method, loop, work):
    cells = [
        "-"
        if core in LACKING.get(method, ())
        else f"{emulation.loop_cycles([loop], core)[0] / work:.2f}"
        for core in CORES
    ]
    print(f"| {widths} | {method} | {' | '.join(cells)} |", flush=True)


def print_cycles(folder):
    print(f"| input/weight bits | method | {' | '.join(CORES)} |")
    print("|---" * (2 + len(CORES)) + "|")
    for widths, method, loop, macs in WRITTEN:
        cycles_row(widths, method, loop, macs / 128)
    bodies = functions(
        folder / "libkeras_aqe_kernels.a", "aarch64-linux-gnu-objdump"
    )
    for widths, method, function, per_128, mnemonic in LOOPS:
        (body,) = (
            body for name, body in bodies.items() if body and function in name
        )
        loop = max(
            innermost_loops(body), key=lambda loop: marks(loop, mnemonic)
        )
        cycles_row(widths, method, loop, marks(loop, mnemonic) / per_128)


def blocks_of(file, library, core, plugin, root):
    """Blocks that one inference runs: those of 2 inferences less those of 1.

    Args:
        file: The bytes of the file.
        library: Path of the library that runs packed operators, or "".
        core: Key of `EMULATED`.
        plugin: What `emulation.build_plugin` returned.
        root: What `arm.root()` returned.
    """
    found = []
    with tempfile.NamedTemporaryFile(suffix=".tflite") as stored:
        stored.write(file)
        stored.flush()
        for invokes in (1, 2):

            def start(emulator, invokes=invokes):
                python, environment = arm.python(
                    root, EMULATED[core].cpu, emulator
                )
                subprocess.run(
                    [*python, "-c", CHILD, stored.name, library, str(invokes)],
                    check=True,
                    capture_output=True,
                    env={**environment, "PYTHONHASHSEED": "0"},
                )

            found.append(emulation.run(start, plugin))
    once, twice = found
    return twice - once


def print_networks(folder, names):
    root = arm.root()
    plugin = emulation.build_plugin(folder)
    library = str(folder / "libkeras_aqe_delegate.so")
    pairs = [f"{bits}/{bits}" for bits in BITS]
    print(
        f"| network | core | {' | '.join(pairs)} | int8, XNNPACK | "
        "int8, inner loops |"
    )
    print("|---" * (4 + len(BITS)) + "|")
    for name in names:
        build_network, build_plain = NETWORKS[name]
        files = [converters.convert(build_network(bits)) for bits in BITS]
        plain = comparison.int8(build_plain())
        for core, emulated in EMULATED.items():
            counted = [
                blocks_of(file.flatbuffer, library, core, plugin, root)
                for file in files
            ]
            counted.append(blocks_of(plain, "", core, plugin, root))
            _, _, loop, macs = WRITTEN[emulated.int8]
            rounds = files[0].macs / macs
            (loop_cycles,) = emulation.loop_cycles([loop], emulated.model)
            cells = [
                f"{emulation.instructions(blocks) / 1e6:.1f}, "
                f"{emulation.cycles(blocks, emulated.model) / 1e6:.1f}"
                for blocks in counted
            ]
            cells.append(
                f"{rounds * len(loop) / 1e6:.1f}, "
                f"{rounds * loop_cycles / 1e6:.1f}"
            )
            print(f"| {name} | {core} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--loops-only", action="store_true", help="only the table of cycles"
    )
    parser.add_argument(
        "--networks",
        nargs="*",
        choices=NETWORKS,
        default=list(NETWORKS),
        help="those that are run; all if it is not given",
    )
    arguments = parser.parse_args()
    folder = build(f"-DCMAKE_TOOLCHAIN_FILE={arm.TOOLCHAIN}")
    print("\nCycles for 128 multiply-accumulates:\n")
    print_cycles(folder)
    if not arguments.loops_only:
        print("\nMillions of instructions and of cycles for one inference:\n")
        print_networks(folder, arguments.networks)


if __name__ == "__main__":
    main()
