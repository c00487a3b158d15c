// Counters of the XNOR kernel with GFNI whose bits are registers, and what
// becomes of them: thresholds passed, or sums of 32 bits. A register has the
// bits of 64 channels at eight positions, [lane of 8 channels][position].
#pragma once

#include "kernels/x86/gfni_vectors.h"

#include <algorithm>

namespace aqe::gfni {
namespace {

constexpr int kSumBits = 16;  // of twice a number of differences

// A bit of a counter: it takes two bits of its weight, and what it carries
// takes the place of the first.
AQE_INLINE void add(__m512i* bit, __m512i* first, __m512i second) {
  constexpr int kXor3 = 0x96, kCarry = 0xb2;  // of a full adder, after its sum
  *bit = _mm512_ternarylogic_epi64(*bit, *first, second, kXor3);
  *first = _mm512_ternarylogic_epi64(*first, *bit, second, kCarry);
}

// Counters that are seldom added to, all together: a carry waits at the level
// that the number of additions says, until one of its weight comes.
template <int kGroups>
struct Tally {
  static constexpr int kLevels = 12;  // so that products with padding fit, too
  __m512i bits[kLevels][kGroups], waiting[kLevels][kGroups];
  unsigned added = 0;

  AQE_INLINE void add_one(__m512i* carry) {
    const int last = __builtin_ctz(~added);
    for (int level = 0; level < last; ++level) {
      for (int g = 0; g < kGroups; ++g)
        add(&bits[level][g], &carry[g], waiting[level][g]);
    }
    std::copy_n(carry, kGroups, waiting[last]);
    ++added;
  }
  // Both count in `most` bits. The first writes to `sum` what was added, the
  // second adds it to what is there.
  AQE_INLINE void total(int g, __m512i* sum, int most) const {
    __m512i waits = _mm512_setzero_si512();
    for (int level = 0; level < most; ++level)
      sum[level] = take(g, level, &waits);
  }
  AQE_INLINE void add_to(int g, __m512i* sum, int most) const {
    __m512i waits = _mm512_setzero_si512(), carry = waits;
    for (int level = 0; level < most; ++level)
      add(&sum[level], &carry, take(g, level, &waits));
  }

 private:
  // A bit of counter g, once what waits has been added; `waits` is what the
  // levels below carry.
  AQE_INLINE __m512i take(int g, int level, __m512i* waits) const {
    const __m512i zero = _mm512_setzero_si512();
    if (level >= kLevels) return zero;
    __m512i bit = bits[level][g];
    add(&bit, waits, added >> level & 1 ? waiting[level][g] : zero);
    return bit;
  }
};

// Codes in planes need no sums, only whether each passes a threshold, which can
// be said bit by bit. Weights of channels of direction -1 then change their
// sign.
inline bool compares_bits(const Layer& layer) {
  return is_packed(layer.output);
}

// The channel of a block at bit `at` of its matrices. Sums in 32 bits come from
// unpacking bytes, which puts these in order.
inline int channel_at(const Layer& layer, int at) {
  return compares_bits(layer) ? at : at / 4 % 4 * 16 + at / 16 * 4 + at % 4;
}

// Bits of twice the number of differences and of what it is compared with.
inline int sum_bits(const Layer& layer) {
  int bits = 0;
  while ((2 * layer.weights_per_output() + 1) >> bits) ++bits;
  return bits;
}

// What twice the differences and the products with padding must stay below to
// pass threshold k: that many bits, `stride` bytes apart, at bit `at` of the
// eight bytes of a lane.
inline void pack_limit(const Layer& layer, int k, int channel, int bits, int at,
                       int stride, uint8_t* lane) {
  const int64_t most = (int64_t{1} << bits) - 1;
  const int64_t limit =
      layer.weights_per_output() + 1 -
      layer.thresholds[int64_t{k} * layer.out_channels + channel];
  const int64_t within = std::clamp<int64_t>(limit, 0, most);
  for (int bit = 0; bit < bits; ++bit, lane += stride) {
    for (int i = 0; i < kGroup; ++i)
      lane[i] |= static_cast<uint8_t>((within >> bit & 1) << at);
  }
}

// Bit c of passes[k][i]: channel c passes threshold k at position i.
AQE_INLINE void compare(const __m512i* sums, int bits, const char* limits,
                        int levels, uint64_t* passes) {
  const __m512i order = load_table(kTransposition);
  for (int k = 0; k < levels; ++k, passes += kGroup) {
    constexpr int kBorrow = 0x8e;  // of a sum, what is taken from it, borrow
    __m512i below = _mm512_setzero_si512();
    for (int bit = 0; bit < bits; ++bit, limits += kVectorBytes) {
      below =
          _mm512_ternarylogic_epi64(sums[bit], load(limits), below, kBorrow);
    }
    _mm512_store_si512(passes, _mm512_permutexvar_epi8(order, below));
  }
}

// From the bits of twice the sums, [bit][lane of 8 channels][position], to
// 16 bits each, and from `all` on downwards.
AQE_INLINE void subtract(const __m512i* bits, int32_t all, int32_t* acc) {
  // Bytes of 8 sums each: [byte][position][lane] with a sum's bits together.
  const __m512i identity =
      _mm512_set1_epi64(static_cast<int64_t>(uint64_t{0x8040201008040201}));
  __m512i bytes[2][8];
  for (int k = 0; k < 2; ++k) {
    __m512i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
      // Matrices have their last row first.
      const __m512i* last = bits + 8 * k + 7 - i;
      a[i] = _mm512_unpacklo_epi8(last[0], last[-1]);
      a[i + 1] = _mm512_unpackhi_epi8(last[0], last[-1]);
    }
    for (int odd = 0; odd < 2; ++odd) {
      for (int i = 0; i < 8; i += 4) {
        b[odd * 4 + i / 2] = _mm512_unpacklo_epi16(a[i + odd], a[i + odd + 2]);
        b[odd * 4 + i / 2 + 1] =
            _mm512_unpackhi_epi16(a[i + odd], a[i + odd + 2]);
      }
    }
    // b[odd * 4 + half * 2 + high]: bits of `half`, positions of `high`.
    for (int high = 0; high < 2; ++high) {
      const auto sums = [&](int odd, bool upper) AQE_TARGET {
        const __m512i x = b[odd * 4 + high], y = b[odd * 4 + 2 + high];
        return _mm512_gf2p8affine_epi64_epi8(
            identity,
            upper ? _mm512_unpackhi_epi32(x, y) : _mm512_unpacklo_epi32(x, y),
            0);
      };
      for (int upper = 0; upper < 2; ++upper) {
        const __m512i even = sums(0, upper), odd = sums(1, upper);
        bytes[k][high * 4 + upper * 2] = _mm512_unpacklo_epi64(even, odd);
        bytes[k][high * 4 + upper * 2 + 1] = _mm512_unpackhi_epi64(even, odd);
      }
    }
  }
  const __m512i zero = _mm512_setzero_si512();
  for (int i = 0; i < kGroup; ++i) {
    const __m512i low = _mm512_unpacklo_epi8(bytes[0][i], bytes[1][i]);
    const __m512i high = _mm512_unpackhi_epi8(bytes[0][i], bytes[1][i]);
    const __m512i sums[] = {
        _mm512_unpacklo_epi16(low, zero), _mm512_unpackhi_epi16(low, zero),
        _mm512_unpacklo_epi16(high, zero), _mm512_unpackhi_epi16(high, zero)};
    for (int v = 0; v < 4; ++v) {
      _mm512_store_si512(acc + i * kBlock + v * kLanes,
                         _mm512_sub_epi32(_mm512_set1_epi32(all), sums[v]));
    }
  }
}

}  // namespace
}  // namespace aqe::gfni
