"""Instructions and estimated cycles of programs on emulated ARM cores."""

import collections
import pathlib
import re
import subprocess
import tempfile

# What llvm-mca and llvm-mc are to know.
FEATURES = "-mattr=+v8.6a,+dotprod,+i8mm,+fullfp16,+lse"
# Blocks that are looked at have this part of all instructions.
_COVERED = 0.99
# No block has it: says where the text of one ends.
_END, _END_TEXT = "e0 bd 5b d4", "hlt #0xddef"
_BLOCKS = pathlib.Path(__file__).with_name("blocks.c")


def build_plugin(folder):
    """Compiles the plugin that `run` needs.

    Args:
        folder: `pathlib.Path` of the folder for it.
    """
    plugin = folder / "blocks.so"
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-o", plugin, _BLOCKS], check=True
    )
    return plugin


def run(start, plugin):
    """Runs a program in QEMU.

    Args:
        start: Called with what starts the emulator, options included; runs
            the program to its end.
        plugin: What `build_plugin` returned.

    Returns:
        A `collections.Counter`: how often each block has run, by its
        instructions in hexadecimal.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "blocks")
        start(("qemu-aarch64", "-plugin", f"file={plugin},out={out}"))
        blocks = collections.Counter()
        for line in out.read_text().splitlines():
            times, code = line.split()
            blocks[code] += int(times)
    return blocks


def instructions(blocks):
    return sum(len(code) // 8 * times for code, times in blocks.items())


def loop_cycles(loops, core, rounds=200):
    """Cycles of one round of each loop, by llvm-mca.

    Args:
        loops: Lists of lines of assembly text; "loop" is the first.
        core: llvm-mca's name of the core.
        rounds: Rounds that are simulated.
    """
    text = "".join(
        f"# LLVM-MCA-BEGIN {i}\nloop{i}:\n"
        + re.sub(r"\bloop\b", f"loop{i}", "\n".join(loop))
        + "\n# LLVM-MCA-END\n"
        for i, loop in enumerate(loops)
    )
    printed = subprocess.run(
        ["llvm-mca", "-mtriple=aarch64", f"-mcpu={core}", FEATURES]
        + [f"-iterations={rounds}", "-instruction-info=0"]
        + ["-resource-pressure=0"],
        input=text,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    totals = re.findall(r"^Total Cycles:\s+(\d+)", printed, re.MULTILINE)
    return [int(total) / rounds for _, total in zip(loops, totals, strict=True)]


def cycles(blocks, core):
    """Estimates the cycles of a run: each block's, as often as it ran.

    A block's are those of one round where it is repeated, so that what waits
    for a branch or for memory is left out.

    Args:
        blocks: What `run` returned.
        core: llvm-mca's name of the core.
    """
    weights = {code: len(code) * times for code, times in blocks.items()}
    most, covered = [], 0
    for code in sorted(weights, key=weights.get, reverse=True):
        most.append(code)
        covered += weights[code]
        if covered > _COVERED * sum(weights.values()):
            break
    found = loop_cycles(_disassemble(most), core, rounds=50)
    total = sum(blocks[code] * own for code, own in zip(most, found))
    return total * sum(weights.values()) / covered


def _disassemble(blocks):
    """Assembly text of each block; branches lead to where they led."""
    lines = []
    for code in blocks:
        lines += [
            " ".join(f"0x{code[at + i : at + i + 2]}" for i in (0, 2, 4, 6))
            for at in range(0, len(code), 8)
        ]
        lines.append(" ".join(f"0x{byte}" for byte in _END.split()))
    printed = subprocess.run(
        ["llvm-mc", "--disassemble", "-triple=aarch64", FEATURES],
        input="\n".join(lines),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = [[]]
    for line in printed.splitlines():
        text = line.strip().replace("\t", " ")
        if text == _END_TEXT:
            found.append([])
        elif text and not text.startswith("."):
            found[-1].append(text)
    return found[: len(blocks)]
