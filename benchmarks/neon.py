"""What the NEON kernels cost, where no ARM machine is at hand.

    python -m benchmarks.neon

prints two Markdown tables. Cycles of inner loops come from llvm-mca's models
of three cores; they leave caches out. Instructions of whole inferences are
counted in QEMU, in the real aarch64 LiteRT; those of int8, which does not run
there, are its inner loops' for all multiply-accumulates. Needs llvm-mca,
Debian's or Ubuntu's g++-aarch64-linux-gnu, qemu-user (7.2 to 8) and mmdebstrap.
"""

import argparse
import pathlib
import re
import subprocess
import tempfile

import keras_aqe as aqe
from benchmarks import mobilenet
from benchmarks.inference import BITS
from keras_aqe import converters
from tests.runtime import arm
from tests.runtime.disassembly import functions
from tests.runtime.native import build

CORES = ("cortex-a53", "cortex-a55", "cortex-a76")
# What is run on emulated cores.
NETWORKS = {
    "Model D": lambda bits: aqe.models.MINWNet("D", bits, bits),
    "ResNet-110, 32x32": lambda bits: aqe.models.ResNet110(bits, bits),
    "MobileNetV1, 224x224": lambda bits: mobilenet.mobilenet_v1(bits, bits),
}
HERE = pathlib.Path(__file__).parent

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
from ai_edge_litert.interpreter import (
    Interpreter, OpResolverType, load_delegate
)
path, library, invokes = sys.argv[1:]
engine = Interpreter(
    path,
    experimental_delegates=[load_delegate(library)],
    experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
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


# The emulated cores without the dot product, with it, and with products of
# matrices; what int8 is multiplied by there.
EMULATED = {"cortex-a53": 1, "cortex-a76": 2, "max": 3}


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


def cycles(loop, core, rounds=200):
    """Cycles of one round of a loop, by llvm-mca."""
    arguments = f"-mtriple=aarch64 -mcpu={core} -mattr=+dotprod,+i8mm"
    text = subprocess.run(
        ["llvm-mca", *arguments.split(), f"-iterations={rounds}"],
        input="loop:\n" + "\n".join(loop) + "\n",
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return int(re.search(r"Total Cycles:\s+(\d+)", text)[1]) / rounds


def cycles_row(widths, method, loop, work):
    cells = [
        "-"
        if core in LACKING.get(method, ())
        else f"{cycles(loop, core) / work:.2f}"
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


def instructions(file, library, core, plugin, root):
    """Instructions of one inference: 4 inferences less 1, by 3."""
    python, environment = arm.python(
        root, core, ("qemu-aarch64", "-plugin", f"file={plugin}")
    )
    environment["PYTHONHASHSEED"] = "0"
    counts = []
    with tempfile.NamedTemporaryFile(suffix=".tflite") as stored:
        stored.write(file)
        stored.flush()
        for invokes in (1, 4):
            text = subprocess.run(
                [*python, "-c", CHILD, stored.name, library, str(invokes)],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            ).stderr
            counts.append(int(re.search(r"instructions: (\d+)", text)[1]))
    return (counts[1] - counts[0]) / 3


def print_instructions(folder):
    root = arm.root()
    plugin = folder / "instructions.so"
    subprocess.run(
        [
            *("cc", "-O2", "-shared", "-fPIC", "-o", plugin),
            HERE / "instructions.c",
        ],
        check=True,
    )
    library = str(folder / "libkeras_aqe_delegate.so")
    pairs = [f"{bits}/{bits}" for bits in BITS]
    print(f"| network | core | {' | '.join(pairs)} | int8, inner loops |")
    print("|---" * (3 + len(BITS)) + "|")
    for name, build_network in NETWORKS.items():
        files = [converters.convert(build_network(bits)) for bits in BITS]
        for core, index in EMULATED.items():
            _, _, loop, macs = WRITTEN[index]
            counts = [
                instructions(file.flatbuffer, library, core, plugin, root)
                for file in files
            ]
            counts.append(files[0].macs * len(loop) / macs)
            cells = [f"{count / 1e6:.1f}" for count in counts]
            print(f"| {name} | {core} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--loops-only", action="store_true", help="only the table of cycles"
    )
    arguments = parser.parse_args()
    folder = build(f"-DCMAKE_TOOLCHAIN_FILE={arm.TOOLCHAIN}")
    print("\nCycles for 128 multiply-accumulates:\n")
    print_cycles(folder)
    if not arguments.loops_only:
        print("\nMillions of instructions for one inference:\n")
        print_instructions(folder)


if __name__ == "__main__":
    main()
