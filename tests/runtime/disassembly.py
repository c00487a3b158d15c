"""Which instructions a compiled function consists of."""

import functools
import re
import subprocess
from typing import NamedTuple

# Of integers and floats, with and without addition, of scalars and vectors.
MULTIPLICATIONS = {
    "x86-64": re.compile(
        r"v?p?i?mul\w*|v?pmadd\w*|vfn?m(add|sub)\w*|vpdp\w*|v?dpp[sd]"
    ),
    "aarch64": re.compile(
        r"f?n?m(ul|la|ls|add|sub|neg)\w*|[su]q?r?d?m(ul|la|ls|add|sub|neg)\w*"
        r"|[su]{1,2}dot|[su]mmla|pmull?2?"
    ),
}


class Instruction(NamedTuple):
    """One line of a disassembly."""

    address: int
    mnemonic: str
    operands: str


@functools.cache
def functions(library, objdump="objdump"):
    """The functions of a library, which take a second to list.

    Args:
        library: Path of an object file or a static library.
        objdump: The disassembler for the architecture.

    Returns:
        A dict from demangled names to lists of `Instruction`.
    """
    text = subprocess.run(
        [objdump, "-d", "-C", "--no-show-raw-insn", library],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = {}
    for line in text.splitlines():
        if header := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            body = found.setdefault(header[1], [])
        elif parts := re.match(r" *([0-9a-f]+):\t(\S+)\s*([^/<]*)", line):
            address, mnemonic, operands = parts.groups()
            body.append(
                Instruction(int(address, 16), mnemonic, operands.strip())
            )
    return found


def shared_functions(library, nm="nm", objdump="objdump"):
    """The functions of which the linker keeps any one file's copy.

    Args:
        library: Path of an object file or a static library.
        nm: The lister of symbols for the architecture.
        objdump: The disassembler for the architecture.

    Returns:
        A dict from demangled names to lists of `Instruction`.
    """
    symbols = subprocess.run(
        [nm, "-C", library], check=True, capture_output=True, text=True
    ).stdout
    weak = set(re.findall(r"^[0-9a-f]+ [WV] (.*)$", symbols, re.MULTILINE))
    return {
        name: body
        for name, body in functions(library, objdump).items()
        if name in weak
    }


def multiplications(library, function, machine, objdump="objdump"):
    """The instructions that multiply, for a test to find none.

    Args:
        library: Path of an object file or a static library.
        function: Part of the demangled names of the functions to look at.
        machine: A key of `MULTIPLICATIONS`.
        objdump: The disassembler for the architecture.

    Returns:
        A dict from names of functions to sorted lists of mnemonics.

    Raises:
        LookupError: If there is no such function.
    """
    found = {
        name: body
        for name, body in functions(library, objdump).items()
        if body and function in name
    }
    if not found:
        raise LookupError(f"no function {function} in {library}")
    multiplies = MULTIPLICATIONS[machine].fullmatch
    return {
        name: sorted({i.mnemonic for i in body if multiplies(i.mnemonic)})
        for name, body in found.items()
    }
