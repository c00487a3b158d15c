#include "kernels/arm/neon_sdot.h"

#include <arm_neon.h>

namespace aqe::neon {
namespace {

constexpr int kQuads = kDotChannels / 4;
constexpr int kSumStride = 64;

template <int kField>
inline int8x16_t vector_at(const uint8_t* weights, int index, int8x16_t table) {
  if constexpr (kField == 8) {
    return vld1q_s8(reinterpret_cast<const int8_t*>(weights) + 16 * index);
  } else {
    constexpr int kVectors = 8 / kField;
    const uint8x16_t packed = vld1q_u8(weights + index / kVectors * 16);
    const uint8x16_t planes =
        (packed >> (index % kVectors * kField)) & vdupq_n_u8((1 << kField) - 1);
    return vqtbl1q_s8(table, planes);
  }
}

// Four codes of each row, number kLane of the chunk.
template <int kField, int kRows, int kLane>
inline void add_codes(int32x4_t (&acc)[kRows][kQuads], const int8x16_t* a,
                      const uint8_t* weights, int8x16_t table) {
  for (int quad = 0; quad < kQuads; ++quad) {
    const int8x16_t w =
        vector_at<kField>(weights, kLane * kQuads + quad, table);
    for (int i = 0; i < kRows; ++i)
      acc[i][quad] = vdotq_laneq_s32(acc[i][quad], w, a[i], kLane);
  }
}

template <int kField, int kRows>
void dot_tile(const int8_t* rows, size_t row_bytes, const uint8_t* weights,
              int64_t chunks, const int8_t* table_bytes, int32_t* sums) {
  const int8x16_t table = kField == 8 ? vdupq_n_s8(0) : vld1q_s8(table_bytes);
  int32x4_t acc[kRows][kQuads];
  for (int i = 0; i < kRows; ++i) {
    for (int quad = 0; quad < kQuads; ++quad) acc[i][quad] = vdupq_n_s32(0);
  }
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    int8x16_t a[kRows];
    for (int i = 0; i < kRows; ++i) a[i] = vld1q_s8(rows + i * row_bytes);
    add_codes<kField, kRows, 0>(acc, a, weights, table);
    add_codes<kField, kRows, 1>(acc, a, weights, table);
    add_codes<kField, kRows, 2>(acc, a, weights, table);
    add_codes<kField, kRows, 3>(acc, a, weights, table);
    rows += 16;
    weights += 2 * kField * 16;
  }
  for (int i = 0; i < kRows; ++i) {
    for (int quad = 0; quad < kQuads; ++quad)
      vst1q_s32(sums + i * kSumStride + 4 * quad, acc[i][quad]);
  }
}

}  // namespace

const DotTile kDotTile4 = dot_tile<8, 4>;
const DotTile kDotTile1 = dot_tile<8, 1>;
const DotTile kDotTile4OfField[] = {nullptr, dot_tile<1, 4>, dot_tile<2, 4>,
                                    nullptr, dot_tile<4, 4>};
const DotTile kDotTile1OfField[] = {nullptr, dot_tile<1, 1>, dot_tile<2, 1>,
                                    nullptr, dot_tile<4, 1>};

}  // namespace aqe::neon
