// The delegate: gives every operator of docs/format.md in a graph to a kernel.
#pragma once

#include "tflite_abi.h"

namespace aqe {

constexpr int kMaxThreads = 256;

// A delegate whose graphs share `num_threads` threads, up to kMaxThreads; 0 is
// what the first of their interpreters recommends. Throws std::bad_alloc.
tflite::Delegate* create_delegate(int num_threads);

// Gives it up, once. Its memory goes with the last interpreter that has it.
void release_delegate(tflite::Delegate* delegate);

}  // namespace aqe
