// The inner loop of XNOR on bit planes with NEON, for pairs of widths of which
// one is 1 bit, and for 2 by 2 bits.
//
// A code is a sign times a power of two. With the signs as one plane and one
// "magnitude is 2^k" plane m_k for each k, the product of two codes is negative
// where the signs differ, and
//
//   sum = sum over k of 2^k * (popcount(m_k) - 2 * popcount(m_k & differ))
//
// where one of the two is ±1. The first popcount belongs to one operand alone,
// so only the second is counted here. Counts stay in bytes for as many steps as
// cannot overflow. For 2 by 2 bits both counts are of m_a & m_b.
#pragma once

#include "kernels/arm/neon.h"

#include <algorithm>

#include "kernels/arm/neon_output.h"
#include "kernels/arm/neon_xnor.h"

namespace aqe::neon {

constexpr int kQuad = 4;         // channels of a tile
constexpr int kPlaneBytes = 16;  // bytes of a plane in one step: 128 channels

// Planes of an operand in the constants and in a row: magnitudes, then the
// sign.
constexpr int plane_count(int bits) {
  return bits <= 2 ? bits : (1 << (bits - 1));
}

// Steps until a byte can overflow: one counts up to 8, -8 to 8 for 2 by 2 bits,
// up to 8 * 4 with a magnitude of 4.
constexpr int max_steps(int in_bits, int weight_bits) {
  if (in_bits == 2 && weight_bits == 2) return 15;
  return std::max(in_bits, weight_bits) == 3 ? 7 : 31;
}

// Adds what one step counts to the bytes of `acc`. `a` and `b`: planes of the
// two operands.
template <int kIn, int kWeight>
inline uint8x16_t count(uint8x16_t acc, const uint8x16_t* a,
                        const uint8x16_t* b) {
  const uint8x16_t differ =
      veorq_u8(a[plane_count(kIn) - 1], b[plane_count(kWeight) - 1]);
  if constexpr (kIn == 1 && kWeight == 1) {
    return vaddq_u8(acc, vcntq_u8(differ));
  } else if constexpr (kIn == 2 && kWeight == 2) {
    const uint8x16_t both = vandq_u8(a[0], b[0]);
    acc = vaddq_u8(acc, vcntq_u8(both));
    return vmlsq_u8(acc, vcntq_u8(vandq_u8(both, differ)), vdupq_n_u8(2));
  } else {
    const uint8x16_t* magnitudes = kIn == 1 ? b : a;
    acc = vaddq_u8(acc, vcntq_u8(vandq_u8(differ, magnitudes[0])));
    for (int k = 1; k < plane_count(std::max(kIn, kWeight)) - 1; ++k) {
      acc = vmlaq_u8(acc, vcntq_u8(vandq_u8(differ, magnitudes[k])),
                     vdupq_n_u8(static_cast<uint8_t>(1 << k)));
    }
    return acc;
  }
}

// The sums of the bytes of four registers.
template <bool kSigned>
inline int32x4_t sum_bytes(const uint8x16_t* bytes) {
  int16x8_t pairs[4];
  for (int i = 0; i < 4; ++i) {
    pairs[i] = kSigned ? vpaddlq_s8(vreinterpretq_s8_u8(bytes[i]))
                       : vreinterpretq_s16_u16(vpaddlq_u8(bytes[i]));
  }
  const int16x8_t sums = vpaddq_s16(vpaddq_s16(pairs[0], pairs[1]),
                                    vpaddq_s16(pairs[2], pairs[3]));
  return kSigned
             ? vpaddlq_s16(sums)
             : vreinterpretq_s32_u32(vpaddlq_u16(vreinterpretq_u16_s16(sums)));
}

// Sets `acc` to what `count` counts in some steps.
template <int kIn, int kWeight, int kPixels>
inline void count_steps(const uint8_t* rows, size_t row_bytes,
                        const uint8_t* weights, int64_t steps,
                        uint8x16_t (&acc)[kPixels][kQuad]) {
  constexpr int kA = plane_count(kIn), kB = plane_count(kWeight);
  for (auto& row : acc) {
    for (uint8x16_t& bytes : row) bytes = vdupq_n_u8(0);
  }
  for (int64_t step = 0; step < steps; ++step) {
    uint8x16_t a[kPixels][kA];
    for (int i = 0; i < kPixels; ++i) {
      for (int p = 0; p < kA; ++p)
        a[i][p] = vld1q_u8(rows + i * row_bytes + p * kPlaneBytes);
    }
    for (int o = 0; o < kQuad; ++o) {
      uint8x16_t b[kB];
      for (int p = 0; p < kB; ++p)
        b[p] = vld1q_u8(weights + (o * kB + p) * kPlaneBytes);
      for (int i = 0; i < kPixels; ++i)
        acc[i][o] = count<kIn, kWeight>(acc[i][o], a[i], b);
    }
    rows += kA * kPlaneBytes;
    weights += kQuad * kB * kPlaneBytes;
  }
}

// What `count` counts for kPixels rows and 4 channels. `rows`: [chunk][plane]
// of each row; `weights`: [chunk][channel][plane].
template <int kIn, int kWeight, int kPixels>
__attribute__((noinline)) void planes_tile(const uint8_t* rows,
                                           size_t row_bytes,
                                           const uint8_t* weights,
                                           int64_t chunks, int32_t* sums) {
  constexpr int kA = plane_count(kIn), kB = plane_count(kWeight);
  int32x4_t total[kPixels];
  for (int32x4_t& sum : total) sum = vdupq_n_s32(0);
  while (chunks > 0) {
    const int64_t steps = std::min<int64_t>(chunks, max_steps(kIn, kWeight));
    uint8x16_t acc[kPixels][kQuad];
    if constexpr (kIn == 1 && kWeight == 1 && kPixels == 4) {
      count_xnor(rows, row_bytes, weights, steps, acc);
    } else {
      count_steps<kIn, kWeight>(rows, row_bytes, weights, steps, acc);
    }
    rows += steps * kA * kPlaneBytes;
    weights += steps * kQuad * kB * kPlaneBytes;
    for (int i = 0; i < kPixels; ++i)
      total[i] =
          vaddq_s32(total[i], sum_bytes < kIn == 2 && kWeight == 2 > (acc[i]));
    chunks -= steps;
  }
  for (int i = 0; i < kPixels; ++i) vst1q_s32(sums + i * kBlock, total[i]);
}

using PlanesTile = void (*)(const uint8_t*, size_t, const uint8_t*, int64_t,
                            int32_t*);

// Four planes of one operand leave registers for half the tile.
constexpr int tile_pixels(int in_bits, int weight_bits, int pixels) {
  return std::max(in_bits, weight_bits) == 3 ? std::min(pixels, 2) : pixels;
}

// The tile for so many pixels, or for half as many.
template <int kPixels>
PlanesTile find_tile(const Layer& layer) {
  constexpr int kHalf = tile_pixels(1, 3, kPixels);
  const int in = bits(layer.input), weight = layer.weight_bits;
  if (in == 1) {
    return weight == 1   ? planes_tile<1, 1, kPixels>
           : weight == 2 ? planes_tile<1, 2, kPixels>
                         : planes_tile<1, 3, kHalf>;
  }
  if (in == 2) {
    return weight == 1 ? planes_tile<2, 1, kPixels>
                       : planes_tile<2, 2, kPixels>;
  }
  return planes_tile<3, 1, kHalf>;
}

}  // namespace aqe::neon
