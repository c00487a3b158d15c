#include "kernels/arm/neon_i8mm.h"

#include <arm_neon.h>

namespace aqe::neon {
namespace {

constexpr int kPairs = kDotChannels / 2;  // of channels
constexpr int kSumStride = 64;

// Eight codes of two rows, at the same half of either register.
template <int kHalf>
inline int8x16_t pair_rows(int8x16_t first, int8x16_t second) {
  const int64x2_t a = vreinterpretq_s64_s8(first);
  const int64x2_t b = vreinterpretq_s64_s8(second);
  return vreinterpretq_s8_s64(kHalf ? vtrn2q_s64(a, b) : vtrn1q_s64(a, b));
}

template <int kHalf>
inline void add_codes(int32x4_t (&acc)[2][kPairs], const int8x16_t* rows,
                      const int8_t* weights) {
  const int8x16_t a[2] = {pair_rows<kHalf>(rows[0], rows[1]),
                          pair_rows<kHalf>(rows[2], rows[3])};
  for (int pair = 0; pair < kPairs; ++pair) {
    const int8x16_t w = vld1q_s8(weights + (kHalf * kPairs + pair) * 16);
    for (int i = 0; i < 2; ++i)
      acc[i][pair] = vmmlaq_s32(acc[i][pair], a[i], w);
  }
}

void matrix_tile(const int8_t* rows, size_t row_bytes, const uint8_t* weights,
                 int64_t chunks, const int8_t*, int32_t* sums) {
  int32x4_t acc[2][kPairs];
  for (auto& row : acc) {
    for (int32x4_t& sum : row) sum = vdupq_n_s32(0);
  }
  const auto* w = reinterpret_cast<const int8_t*>(weights);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    int8x16_t a[4];
    for (int i = 0; i < 4; ++i) a[i] = vld1q_s8(rows + i * row_bytes);
    add_codes<0>(acc, a, w);
    add_codes<1>(acc, a, w);
    rows += 16;
    w += 2 * kPairs * 16;
  }
  for (int i = 0; i < 2; ++i, sums += 2 * kSumStride) {
    for (int pair = 0; pair < kPairs; pair += 2) {
      const int64x2_t a = vreinterpretq_s64_s32(acc[i][pair]);
      const int64x2_t b = vreinterpretq_s64_s32(acc[i][pair + 1]);
      vst1q_s32(sums + 2 * pair, vreinterpretq_s32_s64(vtrn1q_s64(a, b)));
      vst1q_s32(sums + kSumStride + 2 * pair,
                vreinterpretq_s32_s64(vtrn2q_s64(a, b)));
    }
  }
}

}  // namespace

const DotTile kMatrixTile4 = matrix_tile;

}  // namespace aqe::neon
