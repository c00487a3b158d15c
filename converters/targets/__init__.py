"""From the inference graph to operators; a folder for each target."""

from keras_aqe.converters.targets import builtin, lce, packed

TARGETS = {
    target.name: target
    for target in (packed.TARGET, lce.TARGET, builtin.TARGET)
}
# The custom operators of all targets that have a kernel.
KERNELS = {name for target in TARGETS.values() for name in target.kernels}
