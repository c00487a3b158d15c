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
#include "kernels/x86/avx512.h"

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/loops/tiles.h"

#define AQE_AVX512_POPCNT \
  __attribute__((target(  \
      "avx2,fma,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")))

namespace aqe {
namespace {

constexpr int kRows = 4;     // positions at a time
constexpr int kVectors = 2;  // registers of eight output channels at a time
constexpr int kChannels = 8 * kVectors;
constexpr int kSplits = kBlock / kChannels;

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
  static constexpr int kWords = 2;  // words of a plane at a time
  static constexpr bool kHasParity = true;
  static constexpr int kScale = 2;  // of the count in the result

  AQE_AVX512_POPCNT static inline void add(const __m512i* in, const __m512i* w,
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
  static constexpr int kWords = 1;
  static constexpr bool kHasParity = true;
  static constexpr int kScale = 1;

  // in: not zero, negative; w: zero, negative.
  AQE_AVX512_POPCNT static inline void add(const __m512i* in, const __m512i* w,
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
  static constexpr int kWords = 1;
  static constexpr bool kHasParity = false;
  static constexpr int kScale = 2;

  AQE_AVX512_POPCNT static inline void add(const __m512i* in, const __m512i* w,
                                           Sum* sum) {
    sum->count = _mm512_add_epi64(sum->count,
                                  _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(
                                      in[0], in[1], w[0], kNegative)));
  }
};

template <>
struct Pair<1, 2> {
  static constexpr int kWords = 1;
  static constexpr bool kHasParity = false;
  static constexpr int kScale = 2;

  AQE_AVX512_POPCNT static inline void add(const __m512i* in, const __m512i* w,
                                           Sum* sum) {
    sum->count = _mm512_add_epi64(sum->count,
                                  _mm512_popcnt_epi64(_mm512_ternarylogic_epi64(
                                      w[0], in[0], w[1], kNegative)));
  }
};

// Lane i of register v is channel 2 i + v: even and odd 32-bit lanes.
AQE_AVX512_POPCNT inline __m512i interleave(__m512i even, __m512i odd) {
  return _mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CCAA);
}

// kRowCount rows times 16 output channels. A row's last word is what its own
// part of the result is; `init` is that of the channels.
template <int kInput, int kWeight, int kRowCount>
AQE_AVX512_POPCNT void multiply_rows(const uint64_t* patch, int64_t stride,
                                     const uint64_t* weights, int64_t steps,
                                     const int32_t* init, int32_t* acc) {
  using P = Pair<kInput, kWeight>;
  constexpr int kIn = kInput * P::kWords, kW = kWeight * P::kWords;
  Sum sums[kRowCount][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRowCount; ++r) {
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
  }
  for (int64_t step = 0; step < steps; ++step) {
    __m512i w[kVectors][kW];
    for (int v = 0; v < kVectors; ++v) {
      for (int p = 0; p < kW; ++p)
        w[v][p] = _mm512_load_si512(weights + (p * kVectors + v) * 8);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRowCount; ++r) {
      __m512i in[kIn];
      for (int p = 0; p < kIn; ++p)
        in[p] = _mm512_set1_epi64(
            static_cast<int64_t>(patch[r * stride + step * kIn + p]));
      for (int v = 0; v < kVectors; ++v) P::add(in, w[v], &sums[r][v]);
    }
    weights += kW * kVectors * 8;
  }
  const __m512i first = _mm512_load_si512(init);
#pragma GCC unroll 8
  for (int r = 0; r < kRowCount; ++r) {
    __m512i total = interleave(sums[r][0].count, sums[r][1].count);
    if constexpr (P::kHasParity) {
      total =
          _mm512_add_epi32(_mm512_slli_epi32(total, 1),
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

// Constants: int32 `init` of each output channel (padded to blocks); a pixel
// of padding; for 1-bit input padded with 0, TapSums; weights
// [block][split][step][word][plane][vector][lane].
struct Layout {
  int64_t channels, words, steps;
  size_t init, pad, tap_sums, weights, end;
};

bool needs_tap_sums(const Layer& layer) {
  return layer.input == Type::kPacked1 && layer.pad_value == 0 &&
         layer.op == Operator::kConv2D;
}

int64_t words_at_a_time(const Layer& layer) {
  return layer.input == Type::kPacked1 && layer.weight_bits == 1 ? 2 : 1;
}

size_t pad_offset(const Layer& layer) {
  return sizeof(int32_t) * kBlock * block_count(layer.out_channels);
}

Layout layout(const Layer& layer) {
  Layout at;
  at.channels = int64_t{block_count(layer.out_channels)} * kBlock;
  at.words = window_taps(layer) * words(layer.in_channels);
  at.steps = static_cast<int64_t>(round_up(at.words, words_at_a_time(layer))) /
             words_at_a_time(layer);
  at.init = 0;
  at.pad = pad_offset(layer);
  at.tap_sums =
      at.pad + round_up(pixel_bytes(layer.input, layer.in_channels), 64);
  at.weights =
      at.tap_sums + (needs_tap_sums(layer) ? TapSums::bytes(layer) : 0);
  at.end = at.weights + at.steps * words_at_a_time(layer) * layer.weight_bits *
                            at.channels * 8;
  return at;
}

size_t constants_bytes(const Layer& layer) { return layout(layer).end; }

void pack(const Layer& layer, void* constants) {
  const Layout at = layout(layer);
  auto* bytes = static_cast<char*>(constants);
  std::fill_n(bytes, at.end, 0);
  auto* init = reinterpret_cast<int32_t*>(bytes + at.init);
  auto* tap_sums = reinterpret_cast<int32_t*>(bytes + at.tap_sums);
  auto* weights = reinterpret_cast<uint64_t*>(bytes + at.weights);
  if (layer.pad_value != 0) {
    for (int c = 0; c < layer.in_channels; ++c)
      store_code(layer.input, bytes + at.pad, c, layer.pad_value);
  }
  const int bits = layer.weight_bits;
  const int64_t padded = at.steps * words_at_a_time(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    // The words of this channel: planes one vector pair apart.
    uint64_t* own = weights + o / kChannels * padded * bits * kChannels +
                    o % 2 * 8 + o % kChannels / 2;
    for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
      const int code = weight_code(layer, o, i);
      const int64_t tap = i / layer.in_channels;
      const int c = static_cast<int>(i % layer.in_channels);
      uint64_t* word =
          own + (tap * words(layer.in_channels) + c / 64) * bits * kChannels;
      const uint64_t bit = uint64_t{1} << (c % 64);
      if (bits == 2) {
        const bool is_marked =
            layer.input == Type::kPacked1 ? code != 0 : code == 0;
        if (is_marked) word[0] |= bit;
        word += kChannels;
      }
      if (code < 0) *word |= bit;
      if (layer.input == Type::kPacked1) init[o] += code != 0;
      if (needs_tap_sums(layer))
        TapSums::at_tap(layer, tap, tap_sums)[o] += code;
    }
  }
  if (needs_tap_sums(layer)) TapSums::integrate(layer, tap_sums);
}

template <int kInput, int kWeight>
struct Planes : VectorOutput<Int32Lanes> {
  static size_t pixel_bytes(const Layer& layer) {
    return aqe::pixel_bytes(layer.input, layer.in_channels);
  }
  static int64_t filled_words(const Layer& layer) {
    return window_taps(layer) * pixel_elements(layer.input, layer.in_channels);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up((filled_words(layer) + 2) * 8, 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return window_taps(layer) * words(layer.in_channels) * kWeight * kBlock * 8;
  }
  static TapSums tap_sums(const Layer& layer, const void* constants) {
    if (!needs_tap_sums(layer)) return {};
    return TapSums(layer, reinterpret_cast<const int32_t*>(
                              static_cast<const char*>(constants) +
                              layout(layer).tap_sums));
  }

  AQE_TARGET static void load(const Layer&, const char* pixels, int,
                              int64_t bytes, char* to) {
    Set::copy_words(pixels, bytes / 4, to);
  }

  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) + pad_offset(layer);
  }

  // The word that makes the number of words even; what counts for all output
  // channels.
  AQE_TARGET static void finish(const Layer& layer, char* patch) {
    auto* row = reinterpret_cast<uint64_t*>(patch);
    const int64_t filled = filled_words(layer);
    row[filled] = 0;
    int64_t own = 0;
    if constexpr (kInput == 2) {
      for (int64_t i = 0; i < filled; i += 2) own += _mm_popcnt_u64(row[i]);
    }
    row[patch_bytes(layer) / 8 - 1] = static_cast<uint64_t>(own);
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, Acc* acc) {
    const Layout at = layout(layer);
    const auto* bytes = static_cast<const char*>(constants);
    const int64_t stride = patch_bytes(layer) / 8;
    const auto* patch = reinterpret_cast<const uint64_t*>(patches);
    const int64_t split_words =
        at.steps * words_at_a_time(layer) * kWeight * kChannels;
    const auto* weights =
        reinterpret_cast<const uint64_t*>(bytes + at.weights) +
        block * kSplits * split_words;
    const auto* init =
        reinterpret_cast<const int32_t*>(bytes + at.init) + block * kBlock;
    const auto run = layer.out_pixels() == 1 && !layer.has_pool
                         ? multiply_rows<kInput, kWeight, 1>
                         : multiply_rows<kInput, kWeight, kRows>;
    const int filled = parts_of_block(layer, block, kChannels);
    for (int split = 0; split < filled; ++split) {
      for (int r = 0; r < rows; r += kRows) {
        run(patch + r * stride, stride, weights + split * split_words, at.steps,
            init + split * kChannels, acc + r * kBlock + split * kChannels);
      }
    }
  }
};

struct Choose {
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    if (layer.input == Type::kPacked1) {
      return layer.weight_bits == 1 ? call(Planes<1, 1>())
                                    : call(Planes<1, 2>());
    }
    return layer.weight_bits == 1 ? call(Planes<2, 1>()) : call(Planes<2, 2>());
  }
};
using Tiled = TiledKernel<Choose>;

constexpr Kernel planes_kernel(const char* name, Operator op) {
  return {name,
          op,
          width_set(Type::kPacked1, Type::kPacked2),
          width_set(1, 2),
          kAvx512 | kAvx512Vpopcntdq,
          kRows,
          kChannels,
          fits_tiles,
          constants_bytes,
          pack,
          Tiled::scratch_bytes,
          Tiled::units,
          Tiled::run};
}

}  // namespace

extern const Kernel kConvPlanesAvx512 =
    planes_kernel("conv_2d_planes_avx512", Operator::kConv2D);
extern const Kernel kDensePlanesAvx512 =
    planes_kernel("fully_connected_planes_avx512", Operator::kFullyConnected);

}  // namespace aqe
