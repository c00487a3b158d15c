// XNOR on bit planes with AVX2, for 1- and 2-bit codes.
//
// A 64-bit word of one pixel meets the same word of four output channels, one a
// lane. AVX2 has no population count, and one by table costs seven
// instructions, so bits are added in place first, by carry-save adders: into a
// parity of weight 1, their carries into one of weight 2, and only what those
// carry, one word of weight 4 for several, is counted.
//
// What is added for each product is two bits, as in the cell
//
//   carry = differs ? parity : both;  parity ^= differs
//
// where `differs` says that one of the two is set and `both`, where they are
// equal, what they are:
//
//   1 x 1 bits: x ^ w of two neighbouring words. Of the second word, patches
//   and weights hold the XOR with the first: their XOR is `differs`. Where a
//   side has two bits: 1 - x * w, of which `differs` is x * w = 0 and `both` is
//   x * w < 0. Patches and weights hold "is zero" and "is negative".
#include "kernels/x86/avx2.h"

#include "kernels/kernels.h"
#include "kernels/loops/tiles.h"

namespace aqe {
namespace {

constexpr int kVectors = 2;  // registers of four output channels at a time
constexpr int kChannels = 4 * kVectors;
constexpr int kSplits = kBlock / kChannels;
constexpr int64_t kMostSteps = 31;  // that a count in a byte can hold

// Words of a pixel and of a channel that a cell takes.
template <int kInput, int kWeight>
struct Cell {
  static constexpr int kIn = kInput * kWeight == 1 ? 2 : kInput;
  static constexpr int kW = kInput * kWeight == 1 ? 2 : kWeight;

  AQE_AVX2 static inline __m256i add(const __m256i* in, const __m256i* w,
                                     __m256i* parity) {
    const __m256i both = _mm256_xor_si256(in[kIn - 1], w[kW - 1]);
    __m256i differs;
    if constexpr (kInput * kWeight == 1) {
      differs = _mm256_xor_si256(in[0], w[0]);
    } else if constexpr (kInput == 1) {
      differs = w[0];
    } else if constexpr (kWeight == 1) {
      differs = in[0];
    } else {
      differs = _mm256_or_si256(in[0], w[0]);
    }
    const __m256i carry = _mm256_xor_si256(
        both, _mm256_and_si256(differs, _mm256_xor_si256(both, *parity)));
    *parity = _mm256_xor_si256(*parity, differs);
    return carry;
  }
};

// Set bits of each byte.
AQE_AVX2 inline __m256i count_bits(__m256i word) {
  const __m256i counts =
      _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                       2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  return _mm256_add_epi8(
      _mm256_shuffle_epi8(counts, _mm256_and_si256(word, low)),
      _mm256_shuffle_epi8(counts,
                          _mm256_and_si256(_mm256_srli_epi16(word, 4), low)));
}

AQE_AVX2 inline __m256i sum_of_bytes(__m256i bytes) {
  return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

// One row times eight output channels: the number of bits added. A step is two
// cells.
template <int kInput, int kWeight>
AQE_AVX2 void count_row(const uint64_t* patch, const uint64_t* weights,
                        int64_t cells, __m256i* counts) {
  using C = Cell<kInput, kWeight>;
  __m256i ones[kVectors], twos[kVectors], total[kVectors];
  for (int v = 0; v < kVectors; ++v)
    ones[v] = twos[v] = total[v] = _mm256_setzero_si256();
  const auto cell = [&](int v, const uint64_t* in, const uint64_t* w) AQE_AVX2 {
    __m256i x[C::kIn], y[C::kW];
    for (int p = 0; p < C::kIn; ++p)
      x[p] = _mm256_set1_epi64x(static_cast<int64_t>(in[p]));
    for (int p = 0; p < C::kW; ++p)
      y[p] = _mm256_load_si256(
          reinterpret_cast<const __m256i*>(w + (p * kVectors + v) * 4));
    return C::add(x, y, &ones[v]);
  };
  constexpr int kCellWeights = C::kW * kChannels;
  for (int64_t steps = cells / 2; steps > 0;) {
    const int64_t some = std::min(steps, kMostSteps);
    __m256i fours[kVectors];
    for (int v = 0; v < kVectors; ++v) fours[v] = _mm256_setzero_si256();
    for (int64_t step = 0; step < some; ++step) {
      for (int v = 0; v < kVectors; ++v) {
        const __m256i a = cell(v, patch, weights);
        const __m256i b = cell(v, patch + C::kIn, weights + kCellWeights);
        const __m256i differs = _mm256_xor_si256(a, b);
        const __m256i carry = _mm256_xor_si256(
            a, _mm256_and_si256(differs, _mm256_xor_si256(a, twos[v])));
        twos[v] = _mm256_xor_si256(twos[v], differs);
        fours[v] = _mm256_add_epi8(fours[v], count_bits(carry));
      }
      patch += 2 * C::kIn;
      weights += 2 * kCellWeights;
    }
    for (int v = 0; v < kVectors; ++v)
      total[v] = _mm256_add_epi64(total[v], sum_of_bytes(fours[v]));
    steps -= some;
  }
  for (int v = 0; v < kVectors; ++v) {
    __m256i fours = _mm256_setzero_si256();
    if (cells % 2 != 0) {
      const __m256i carry = cell(v, patch, weights);
      fours = sum_of_bytes(count_bits(_mm256_and_si256(carry, twos[v])));
      twos[v] = _mm256_xor_si256(twos[v], carry);
    }
    total[v] = _mm256_slli_epi64(_mm256_add_epi64(total[v], fours), 1);
    total[v] = _mm256_add_epi64(total[v], sum_of_bytes(count_bits(twos[v])));
    total[v] = _mm256_slli_epi64(total[v], 1);
    counts[v] = _mm256_add_epi64(total[v], sum_of_bytes(count_bits(ones[v])));
  }
}

// Constants: int32 `init` of each output channel (padded to blocks); a pixel
// of padding; for 1-bit input padded with 0, TapSums; weights
// [block][split][cell][word][vector][lane]. Lane i of vector v is output
// channel 2 i + v of the split.
struct Layout {
  int64_t channels, cells;
  size_t init, pad, tap_sums, weights, end;
};

bool is_one_by_one(const Layer& layer) {
  return layer.input == Type::kPacked1 && layer.weight_bits == 1;
}

bool needs_tap_sums(const Layer& layer) {
  return layer.input == Type::kPacked1 && layer.pad_value == 0 &&
         layer.op == Operator::kConv2D;
}

int64_t cell_words(const Layer& layer) {
  return is_one_by_one(layer) ? 2 : layer.weight_bits;
}

size_t pad_offset(const Layer& layer) {
  return sizeof(int32_t) * kBlock * block_count(layer.out_channels);
}

Layout layout(const Layer& layer) {
  Layout at;
  at.channels = int64_t{block_count(layer.out_channels)} * kBlock;
  at.cells = window_taps(layer) * words(layer.in_channels);
  if (is_one_by_one(layer)) at.cells = (at.cells + 1) / 2;
  at.init = 0;
  at.pad = pad_offset(layer);
  at.tap_sums =
      at.pad + round_up(pixel_bytes(layer.input, layer.in_channels), 64);
  at.weights =
      at.tap_sums + (needs_tap_sums(layer) ? TapSums::bytes(layer) : 0);
  at.end = at.weights + at.cells * cell_words(layer) * at.channels * 8;
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
  const int64_t groups = words(layer.in_channels);
  const int bits = layer.weight_bits;
  for (int o = 0; o < layer.out_channels; ++o) {
    uint64_t* own = weights +
                    o / kChannels * at.cells * cell_words(layer) * kChannels +
                    o % 2 * 4 + o % kChannels / 2;
    const auto word = [&](int64_t index) -> uint64_t& {
      return own[index * kChannels];
    };
    if (bits == 2) {
      for (int64_t i = 0; i < at.cells; ++i) word(2 * i) = ~uint64_t{0};
    }
    for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
      const int code = weight_code(layer, o, i);
      const int64_t tap = i / layer.in_channels;
      const int c = static_cast<int>(i % layer.in_channels);
      const int64_t index = (tap * groups + c / 64) * bits;
      const uint64_t bit = uint64_t{1} << (c % 64);
      if (bits == 2 && code != 0) word(index) &= ~bit;
      if (code < 0) word(index + bits - 1) |= bit;
      if (needs_tap_sums(layer))
        TapSums::at_tap(layer, tap, tap_sums)[o] += code;
    }
    if (is_one_by_one(layer)) {
      for (int64_t i = 0; i < at.cells; ++i) {
        const uint64_t first = word(2 * i);
        word(2 * i) ^= word(2 * i + 1);
        word(2 * i + 1) = first;
      }
    }
    // What a product adds is 1 - x * w, or (1 - x * w) / 2.
    init[o] = static_cast<int32_t>(
        is_one_by_one(layer) ? layer.weights_per_output() : at.cells * 64);
  }
  if (needs_tap_sums(layer)) TapSums::integrate(layer, tap_sums);
}

template <int kInput, int kWeight>
struct Planes : VectorOutput<Int32Lanes> {
  static constexpr bool kOneByOne = kInput * kWeight == 1;

  static size_t pixel_bytes(const Layer& layer) {
    return aqe::pixel_bytes(layer.input, layer.in_channels);
  }
  static int64_t filled_words(const Layer& layer) {
    return window_taps(layer) * pixel_elements(layer.input, layer.in_channels);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up((filled_words(layer) + 1) * 8, 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return layout(layer).cells * cell_words(layer) * kBlock * 8;
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

  AQE_TARGET static void finish(const Layer& layer, char* patch) {
    auto* row = reinterpret_cast<uint64_t*>(patch);
    const int64_t filled = filled_words(layer);
    if constexpr (kOneByOne) {
      row[filled] = 0;
      for (int64_t i = 0; i < filled; i += 2) {
        const uint64_t first = row[i];
        row[i] ^= row[i + 1];
        row[i + 1] = first;
      }
    } else if constexpr (kInput == 2) {
      for (int64_t i = 0; i < filled; i += 2) row[i] = ~row[i];
    }
  }

  AQE_AVX2 static void multiply(const Layer& layer, const void* constants,
                                const char* patches, int rows, int block,
                                Acc* acc) {
    const Layout at = layout(layer);
    const auto* bytes = static_cast<const char*>(constants);
    const int64_t split_words = at.cells * cell_words(layer) * kChannels;
    const auto* weights =
        reinterpret_cast<const uint64_t*>(bytes + at.weights) +
        block * kSplits * split_words;
    const auto* init =
        reinterpret_cast<const int32_t*>(bytes + at.init) + block * kBlock;
    const int filled = parts_of_block(layer, block, kChannels);
    for (int split = 0; split < filled; ++split) {
      const __m256i first = Int32Lanes::load(init + split * kChannels);
      for (int r = 0; r < rows; ++r) {
        __m256i counts[kVectors];
        count_row<kInput, kWeight>(
            reinterpret_cast<const uint64_t*>(patches + r * patch_bytes(layer)),
            weights + split * split_words, at.cells, counts);
        __m256i added = _mm256_blend_epi32(
            counts[0], _mm256_slli_epi64(counts[1], 32), 0xaa);
        if constexpr (kOneByOne) added = _mm256_slli_epi32(added, 1);
        Int32Lanes::store(acc + r * kBlock + split * kChannels,
                          _mm256_sub_epi32(first, added));
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
          kAvx2,
          1,
          kChannels,
          fits_tiles,
          constants_bytes,
          pack,
          Tiled::scratch_bytes,
          Tiled::units,
          Tiled::run};
}

}  // namespace

extern const Kernel kConvPlanesAvx2 =
    planes_kernel("conv_2d_planes_avx2", Operator::kConv2D);
extern const Kernel kDensePlanesAvx2 =
    planes_kernel("fully_connected_planes_avx2", Operator::kFullyConnected);

}  // namespace aqe
