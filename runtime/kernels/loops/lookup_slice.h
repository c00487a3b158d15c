// Convolutions by look-up: indices of four bits from words of planes.
// AQE_TARGET, defined before, is the attribute of the instruction set.
//
// What the `Set` of lookup_conv.h says for it, of registers of 16 bytes:
//   load_part, store_part, no_part
//   low_bytes(a, b), high_bytes(a, b)
//   pick<kPlace>(part, bit, mask)       the bits of each byte from `bit` on
//   that
//                                       `mask` has, from bit kPlace on
#pragma once

#include "kernels/loops/lookup_conv.h"

namespace aqe::lookup {

template <class Set, int kBits, class Word>
AQE_TARGET void slice_words(const Word* words, int64_t stride, int64_t count,
                            int indices, uint8_t* to, int64_t step) {
  using Part = typename Set::Part;
  constexpr int kCodes = Set::kIndexBits / kBits;
  constexpr int kParts = sizeof(Word);  // of 16 pixels, and bytes of a pixel
  constexpr auto kMask = static_cast<uint8_t>((1 << kCodes) - 1);
  for (int64_t k = 0; k < count; k += kPart) {
    Part planes[kBits][kParts];
    for (int p = 0; p < kBits; ++p) {
      for (int i = 0; i < kParts; ++i) {
        planes[p][i] =
            Set::load_part(words + p * stride + k + i * kPart / kParts);
      }
      // Four times, from bytes of one pixel to those of neighbours.
      for (int i = 0; i < 4; ++i) interleave_bytes<Set>(planes[p]);
    }
    for (int i = 0; i < indices; ++i) {
      const int byte = i * kCodes / kByte, bit = i * kCodes % kByte;
      Part index = Set::template pick<0>(planes[0][byte], bit, kMask);
      if constexpr (kBits > 1)
        index |= Set::template pick<kCodes>(planes[1][byte], bit, kMask);
      if constexpr (kBits > 2)
        index |= Set::template pick<2 * kCodes>(planes[2][byte], bit, kMask);
      Set::store_part(to + i * step + k, index);
    }
  }
}

}  // namespace aqe::lookup
