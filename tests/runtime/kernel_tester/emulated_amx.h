#pragma once

#include "keras_aqe/kernel.h"

namespace aqe {

// Kernels for x86 that no CPU at hand may run; a null pointer ends the list.
extern const Kernel* const emulated_amx_kernels[];

}  // namespace aqe
