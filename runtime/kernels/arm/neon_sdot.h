// The inner loops that need SDOT. Their file alone is compiled for it, and
// includes nothing whose code the linker could use elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aqe::neon {

constexpr int kDotChannels = 16;  // of a tile

// The sums of 16 channels for one or more rows of int8 codes, 16 codes a chunk;
// those of a row 64 numbers after the row before. A chunk of weights is 16
// vectors, [4 codes][16 channels][code], as int8 or in fields of 1, 2 or 4
// bits, for which `table` has the codes.
using DotTile = void (*)(const int8_t* rows, size_t row_bytes,
                         const uint8_t* weights, int64_t chunks,
                         const int8_t* table, int32_t* sums);

// Of 4 rows and of 1; int8, and by bits.
extern const DotTile kDotTile4, kDotTile1;
extern const DotTile kDotTile4OfField[4 + 1], kDotTile1OfField[4 + 1];

}  // namespace aqe::neon
