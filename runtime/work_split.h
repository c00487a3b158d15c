// Among how many threads a layer is shared out: by what it is estimated to
// take, since a thread has to be given microseconds of work to pay.
#pragma once

#include <cstdint>

#include "keras_aqe/kernel.h"
#include "thread_pool.h"

namespace aqe {

// Work of all layers of a graph that are shared out, which pays for waking
// threads.
constexpr int64_t kWakeNanoseconds = 50000;

// Work that pays for a thread that is awake, where it takes so long until one
// has begun and the caller knows: the tensors that both of them see go from
// core to core as that does, but there are more of them.
int64_t share_nanoseconds(int64_t hand_over);

// What one thread takes for a layer, to a factor of two or three.
int64_t estimate_nanoseconds(const Kernel& kernel, const Layer& layer);

// How a layer that takes so long is shared out among at most `threads`, which
// are awake, if each gets at least such a share.
Split split_work(int64_t nanoseconds, int threads, int64_t share);

}  // namespace aqe
