// The tile registers of AMX: eight of 16 rows of 64 bytes. What is written for
// a `Tiles` runs on them, or in a program that does as they do (the tests).
//
//   configure(config)               what the tiles are like from now on
//   release()                       back to none, for whoever comes next
//   load<t>(from, stride)           rows `stride` bytes apart
//   store<t>(to, stride)
//   add_products<c, a, b>()         c[m][n] += a[m][k] * b[k][n], 32 bits; a
//   has
//                                   bytes without sign, b with sign; four
//                                   neighbouring k are side by side in both
#pragma once

#include <cstddef>
#include <cstdint>

namespace aqe {

constexpr int kTileCount = 8, kTileRows = 16, kTileBytes = 64;

// The operand of LDTILECFG.
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_of_row[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64, "as the processor reads it");

}  // namespace aqe
