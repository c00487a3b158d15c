// Registers of the XNOR kernel with GFNI, for its parts.
#pragma once

#define AQE_BEYOND ",gfni,avx512vbmi"
#include "kernels/x86/avx512.h"

#include <array>

#define AQE_INLINE AQE_TARGET inline __attribute__((always_inline))

namespace aqe::gfni {
namespace {

constexpr int kGroup = 8;  // positions of a register
constexpr int kVectorBytes = 64;
constexpr int kQuads = 16;             // four channels each, of a word
constexpr int kLevels = 4;             // so many bits count them
constexpr int kWordRows = 2 * kQuads;  // of features
constexpr int kWordBytes = kWordRows * kVectorBytes;  // of weights
constexpr int kColumns = 32;    // bytes of a row of features
constexpr int kRowGroups = 4;   // of a tile without pooling
constexpr int kMostGroups = 8;  // of a tile
constexpr int kMostTaps = 64;
constexpr int kMostWords = 511;  // so that twice a sum fits into 16 bits

// Byte 8 s + i of a register from byte 8 i + s.
struct Transposition {
  alignas(64) std::array<uint8_t, 64> bytes{};
  constexpr Transposition() {
    for (int i = 0; i < 64; ++i)
      bytes[i] = static_cast<uint8_t>(i % 8 * 8 + i / 8);
  }
};
constexpr Transposition kTransposition;

AQE_INLINE __m512i load(const void* from) { return _mm512_load_si512(from); }

template <class Table>
AQE_INLINE __m512i load_table(const Table& table) {
  return load(table.bytes.data());
}

}  // namespace
}  // namespace aqe::gfni
