// The delegate: gives every operator of docs/format.md in a graph to a kernel.
#pragma once

#include "tflite_abi.h"

namespace aqe {

constexpr int kMaxThreads = 256;

// A delegate whose graphs share `num_threads` threads, up to kMaxThreads; 0 is
// what the first of their interpreters recommends. Whether each operator
// `is_timed` costs two looks at the clock. Throws std::bad_alloc.
tflite::Delegate* create_delegate(int num_threads, bool is_timed = false);

// A line for each operator that was prepared: its index in the file, its
// kernel, its runs and their nanoseconds, separated by tabs. Good until the
// next call; empty if it was not created or is released. Throws std::bad_alloc.
const char* profile_text(const tflite::Delegate* delegate);

// Gives it up. Its memory goes with the last interpreter that has it. False if
// it was not created or is released.
bool release_delegate(const tflite::Delegate* delegate);

}  // namespace aqe
