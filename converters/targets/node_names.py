"""Names by which an operator of a file leads to its node in the graph."""

import re


def scope(node):
    """The name scope that a node's operators are written in.

    Short, since Larq Compute Engine cuts names; the slash makes it absolute.
    """
    return f"n{node.number}/"


def numbers(tensor):
    """The numbers of the nodes that a tensor of a file is named after.

    Operators that were fused have the names of all.
    """
    name = (tensor.name or b"").decode(errors="replace")
    return [int(number) for number in re.findall(r"(?:^|;)n(\d+)/", name)]


def numbers_in(message):
    """The numbers of the nodes whose scopes an error message names."""
    return [int(number) for number in re.findall(r"\bn(\d+)/", message)]
