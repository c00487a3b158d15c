"""Which instructions a compiled function consists of."""

import re
import subprocess

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


def instructions(library, function, objdump="objdump"):
    """The mnemonics of all functions whose name contains `function`.

    Args:
        library: Path of an object file or a static library.
        function: Part of a demangled name.
        objdump: The disassembler for the architecture.

    Returns:
        A dict from names to lists of mnemonics.
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
            name = header[1]
        elif (parts := line.split("\t"))[1:] and function in name:
            found.setdefault(name, []).append(parts[1].split()[0])
    return found


def multiplications(library, function, machine, objdump="objdump"):
    """Those of `instructions` that multiply, for a test to find none.

    Raises:
        LookupError: If there is no such function.
    """
    found = instructions(library, function, objdump)
    if not found:
        raise LookupError(f"no function {function} in {library}")
    return {
        name: sorted(set(filter(MULTIPLICATIONS[machine].fullmatch, mnemonics)))
        for name, mnemonics in found.items()
    }
