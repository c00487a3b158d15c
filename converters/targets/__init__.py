"""From the inference graph to operators; a folder for each target."""

from keras_aqe.converters.errors import DamagedError
from keras_aqe.converters.file import flatbuffer
from keras_aqe.converters.targets import builtin, lce, packed

TARGETS = {
    target.name: target
    for target in (packed.TARGET, lce.TARGET, builtin.TARGET)
}
# The custom operators of all targets that have a kernel.
KERNELS = {name for target in TARGETS.values() for name in target.kernels}


def target_of(model):
    """The target whose engine runs a file, going by its custom operators.

    Args:
        model: A parsed file, from wherever it comes.

    Returns:
        A `Target`; that of builtin operators if there are no others.

    Raises:
        ConversionError: If it has operators of several targets.
    """
    names = flatbuffer.operator_names(model)
    found = [
        target
        for target in TARGETS.values()
        if target.prefix and any(n.startswith(target.prefix) for n in names)
    ]
    if len(found) > 1:
        targets = " and ".join(target.name for target in found)
        raise DamagedError(f"it has operators of the targets {targets}")
    return found[0] if found else builtin.TARGET
