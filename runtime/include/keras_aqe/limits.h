// The limits of docs/format.md, which the converter keeps to
// (converters/targets/packed/limits.py). Plain numbers: a test compares them.
#pragma once

#include <cstdint>

namespace aqe {

constexpr int kMaxChannels = 1048576;
// Of a kernel or a pooling window: its size, stride and dilation on each axis.
constexpr int kMaxWindow = 32768;
// Rows or columns of an input and of two windows as far as they reach, so that
// kernels may count padded ones in int; and pixels in front of a dense layer.
constexpr int kMaxSize = 1073741823;
// Interpreters count bytes in 31 bits.
constexpr int kMaxTensorBytes = 2147483647;
// Magnitude of an integer accumulator: thresholds need a number above it.
constexpr int kMaxSum = 2147483646;
constexpr int kMinPadValue = -128;
constexpr int kMaxPadValue = 127;

}  // namespace aqe
