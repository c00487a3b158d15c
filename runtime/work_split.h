// Among how many threads a layer is shared out: by what it is estimated to
// take, since a thread has to be given microseconds of work to pay.
#pragma once

#include <cstdint>

#include "keras_aqe/kernel.h"
#include "thread_pool.h"

namespace aqe {

// Work that pays for a thread that is awake, and work of all layers of a graph
// that pays for waking threads.
constexpr int64_t kShareNanoseconds = 3000, kWakeNanoseconds = 50000;

// What one thread takes for a layer, to a factor of two or three.
int64_t estimate_nanoseconds(const Kernel& kernel, const Layer& layer);

// How a layer that takes so long is shared out among at most `threads`, which
// are awake.
Split split_work(int64_t nanoseconds, int threads);

}  // namespace aqe
