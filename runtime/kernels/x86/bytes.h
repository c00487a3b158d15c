// Codes as bytes without sign, as the multiplications of x86 want their first
// operand.
#pragma once

#include "keras_aqe/codes.h"

namespace aqe {

// What is added to a code. The sums then hold that times the sum of the weights
// too much.
inline int raise_of(Type input) { return max_code(bits(input)); }

// What the sums start with to make up for that. It wraps around as the sums do;
// the result lies within 32 bits.
inline int32_t take_back(Type input, int64_t sum_of_weights) {
  return static_cast<int32_t>(
      static_cast<uint32_t>(-raise_of(input) * sum_of_weights));
}

// bytes[planes] is the byte of a packed code.
struct ByteTable {
  alignas(16) char bytes[16] = {};

  explicit constexpr ByteTable(int bits) {
    for (int i = 0; i < 1 << bits; ++i)
      bytes[i] = static_cast<char>(code_from_planes(bits, i) + max_code(bits));
  }
};
inline constexpr ByteTable kByteTables[] = {ByteTable(1), ByteTable(2),
                                            ByteTable(3), ByteTable(4)};

inline const char* byte_table(Type packed) {
  return kByteTables[bits(packed) - 1].bytes;
}

}  // namespace aqe
