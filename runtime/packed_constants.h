// What kernels make of weights and thresholds, once in a process: interpreters
// of one file, however often it is loaded, share it.
#pragma once

#include <memory>

#include "keras_aqe/kernel.h"

namespace aqe {

// The constants of a kernel for a layer: packed now, or those that it was given
// before for a layer that is alike in all but the batch, while any user has
// them. They go with the last. Waits for other threads that pack.
std::shared_ptr<const char> packed_constants(const Kernel& kernel,
                                             const Layer& layer);

}  // namespace aqe
