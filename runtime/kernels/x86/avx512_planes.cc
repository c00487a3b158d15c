// XNOR on bit planes with AVX-512 VPOPCNTDQ, for 1- and 2-bit codes.
//
// A 64-bit word of one pixel meets the same word of eight output channels, one
// a lane, so that nothing is added across lanes. Bits to be counted go through
// a counter of one bit a lane position first: it costs less than counting each
// word.
//
//   1 x 1 bits: the parity of the bits seen so far takes two words in turn, and
//   falls at most once (a carry): two XORs and one VPTERNLOG for two words,
//   then one population count and one addition. 2 x 2 bits: a ternary weight is
//   half the sum of two signs, which differ where it is 0. The parity changes
//   where input and weight are as that says; again one population count and one
//   addition, for two signs. 1 x 2, 2 x 1: the products that are -1 are
//   counted.
#define AQE_BEYOND ",avx512vpopcntdq"
#include "kernels/x86/avx512.h"

#include "kernels/kernels.h"
#include "kernels/x86/planes.h"

namespace aqe {
namespace {

// One parity or carry for each VPTERNLOG.
constexpr int kXor3 = 0x96;       // a ^ b ^ c
constexpr int kFalls = 0x74;      // (a & ~b) | (b & ~c)
constexpr int kNegative = 0x60;   // a & (b ^ c)
constexpr int kXorAnd = 0x78;     // a ^ (b & c)
constexpr int kPairCarry = 0xb2;  // a ^ b ? a : c

// Sums that grow word by word: `count` in lanes of 64 bits.
struct Sum {
  __m512i parity, count;
};

template <int kInput, int kWeight>
struct Pair;

template <>
struct Pair<1, 1> {
  static constexpr bool kHasParity = true;
  static constexpr int kScale = 2;  // of the count in the result

  AQE_TARGET static inline void add(const __m512i* in, const __m512i* w,
                                    Sum* sum) {
    const __m512i first =
        _mm512_ternarylogic_epi64(sum->parity, in[0], w[0], kXor3);
    const __m512i second = _mm512_ternarylogic_epi64(first, in[1], w[1], kXor3);
    const __m512i carry =
        _mm512_ternarylogic_epi64(sum->parity, first, second, kFalls);
    sum->count = _mm512_add_epi64(sum->count, _mm512_popcnt_epi64(carry));
    sum->parity = second;
  }
};

template <>
struct Pair<2, 2> {
  static constexpr bool kHasParity = true;
  static constexpr int kScale = 1;

  // in: not zero, negative; w: zero, negative.
  AQE_TARGET static inline void add(const __m512i* in, const __m512i* w,
                                    Sum* sum) {
    const __m512i negative =
        _mm512_ternarylogic_epi64(in[0], in[1], w[1], kNegative);
    const __m512i parity =
        _mm512_ternarylogic_epi64(sum->parity, in[0], w[0], kXorAnd);
    const __m512i carry =
        _mm512_ternarylogic_epi64(sum->parity, parity, negative, kPairCarry);
    sum->count = _mm512_add_epi64(sum->count, _mm512_popcnt_epi64(carry));
    sum->parity = parity;
  }
};

template <>
struct Pair<2, 1> {
  static constexpr bool kHasParity = false;
  static constexpr int kScale = 2;

  AQE_TARGET static inline void add(const __m512i* in, const __m512i* w,
                                    Sum* sum) {
    sum->count = _mm512_add_epi64(sum->count,
                                  _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(
                                      in[0], in[1], w[0], kNegative)));
  }
};

template <>
struct Pair<1, 2> {
  static constexpr bool kHasParity = false;
  static constexpr int kScale = 2;

  AQE_TARGET static inline void add(const __m512i* in, const __m512i* w,
                                    Sum* sum) {
    sum->count = _mm512_add_epi64(sum->count,
                                  _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(
                                      w[0], in[0], w[1], kNegative)));
  }
};

// Lane i of register v is channel 2 i + v: even and odd 32-bit lanes.
AQE_TARGET inline __m512i interleave(__m512i even, __m512i odd) {
  return _mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
}

template <int kInput, int kWeight>
struct Count {
  static constexpr int kPlanes = kInput;
  using Lanes = Int32Lanes;
  static constexpr int kWords = 8, kMostRows = 4;
  static constexpr int kTogether = words_at_a_time(kInput, kWeight);
  using P = Pair<kInput, kWeight>;

  template <class Word>
  static void pack(const Word& word, int64_t steps) {
    if constexpr (kInput * kWeight == 4) {
      for (int64_t i = 0; i < steps; ++i) word(2 * i) = ~word(2 * i);
    }
  }
  static int32_t init(const Layer&, int nonzero, int64_t) {
    return kInput == 1 ? nonzero : 0;
  }
  // The word that makes the number of words even; what counts for all output
  // channels.
  AQE_TARGET static void finish(uint64_t* row, int64_t filled, int64_t last) {
    row[filled] = 0;
    int64_t own = 0;
    if constexpr (kInput == 2) {
      for (int64_t i = 0; i < filled; i += 2) own += _mm_popcnt_u64(row[i]);
    }
    row[last] = static_cast<uint64_t>(own);
  }
  // A row's last word is what its own part of the result is; `init` is that of
  // the channels.
  template <int kRows>
  AQE_TARGET static void multiply(const uint64_t* patch, int64_t stride,
                                  const uint64_t* weights, int64_t steps,
                                  const int32_t* init, int32_t* acc) {
    constexpr int kIn = kTogether * kInput, kW = kTogether * kWeight;
    Sum sums[kRows][kPlaneVectors];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kPlaneVectors; ++v)
        sums[r][v] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    }
    for (int64_t step = 0; step < steps; ++step) {
      __m512i w[kPlaneVectors][kW];
      for (int v = 0; v < kPlaneVectors; ++v) {
        for (int p = 0; p < kW; ++p)
          w[v][p] = _mm512_load_si512(weights + (p * kPlaneVectors + v) * 8);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        __m512i in[kIn];
        for (int p = 0; p < kIn; ++p)
          in[p] = _mm512_set1_epi64(
              static_cast<int64_t>(patch[r * stride + step * kIn + p]));
        for (int v = 0; v < kPlaneVectors; ++v) P::add(in, w[v], &sums[r][v]);
      }
      weights += kW * kPlaneVectors * 8;
    }
    const __m512i first = _mm512_load_si512(init);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      __m512i total = interleave(sums[r][0].count, sums[r][1].count);
      if constexpr (P::kHasParity) {
        total = _mm512_add_epi32(
            _mm512_slli_epi32(total, 1),
            interleave(_mm512_popcnt_epi64(sums[r][0].parity),
                       _mm512_popcnt_epi64(sums[r][1].parity)));
      }
      if constexpr (P::kScale == 2) total = _mm512_slli_epi32(total, 1);
      const __m512i own =
          _mm512_set1_epi32(static_cast<int32_t>(patch[(r + 1) * stride - 1]));
      _mm512_store_si512(acc + r * kBlock,
                         _mm512_sub_epi32(_mm512_add_epi32(first, own), total));
    }
  }
};

struct Counts {
  template <int kInput, int kWeight>
  using Of = Count<kInput, kWeight>;
};

}  // namespace

extern constexpr Kernel kConvPlanesAvx512 = planes_kernel<Counts>(
    "conv_2d_planes_avx512", Operator::kConv2D, kAvx512 | kAvx512Vpopcntdq);
extern constexpr Kernel kDensePlanesAvx512 = planes_kernel<Counts>(
    "fully_connected_planes_avx512", Operator::kFullyConnected,
    kAvx512 | kAvx512Vpopcntdq);

}  // namespace aqe
