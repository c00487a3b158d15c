"""From the inference graph to operators; a folder for each target."""

from keras_aqe.converters.targets import builtin, lce, packed
from keras_aqe_runtime.engines import kind_of

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
    return kind_of(model, TARGETS.values())
