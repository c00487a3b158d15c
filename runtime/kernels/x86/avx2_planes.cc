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
#include "kernels/x86/planes.h"

namespace aqe {
namespace {

constexpr int kChannels = 4 * kPlaneVectors;
constexpr int64_t kMostSteps = 31;  // that a count in a byte can hold

// Words of a pixel and of a channel that a cell takes.
template <int kInput, int kWeight>
struct Cell {
  static constexpr int kIn = words_at_a_time(kInput, kWeight) * kInput;
  static constexpr int kW = words_at_a_time(kInput, kWeight) * kWeight;

  AQE_TARGET static inline __m256i add(const __m256i* in, const __m256i* w,
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
AQE_TARGET inline __m256i count_bits(__m256i word) {
  const __m256i counts =
      _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                       2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  return _mm256_add_epi8(
      _mm256_shuffle_epi8(counts, _mm256_and_si256(word, low)),
      _mm256_shuffle_epi8(counts,
                          _mm256_and_si256(_mm256_srli_epi16(word, 4), low)));
}

AQE_TARGET inline __m256i sum_of_bytes(__m256i bytes) {
  return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

// One row times eight output channels: the number of bits added. A step is two
// cells.
template <int kInput, int kWeight>
AQE_TARGET void count_row(const uint64_t* patch, const uint64_t* weights,
                          int64_t cells, __m256i* counts) {
  using C = Cell<kInput, kWeight>;
  __m256i ones[kPlaneVectors], twos[kPlaneVectors], total[kPlaneVectors];
  for (int v = 0; v < kPlaneVectors; ++v)
    ones[v] = twos[v] = total[v] = _mm256_setzero_si256();
  const auto cell = [&](int v, const uint64_t* in,
                        const uint64_t* w) AQE_TARGET {
    __m256i x[C::kIn], y[C::kW];
    for (int p = 0; p < C::kIn; ++p)
      x[p] = _mm256_set1_epi64x(static_cast<int64_t>(in[p]));
    for (int p = 0; p < C::kW; ++p)
      y[p] = _mm256_load_si256(
          reinterpret_cast<const __m256i*>(w + (p * kPlaneVectors + v) * 4));
    return C::add(x, y, &ones[v]);
  };
  constexpr int kCellWeights = C::kW * kChannels;
  for (int64_t steps = cells / 2; steps > 0;) {
    const int64_t some = std::min(steps, kMostSteps);
    __m256i fours[kPlaneVectors];
    for (int v = 0; v < kPlaneVectors; ++v) fours[v] = _mm256_setzero_si256();
    for (int64_t step = 0; step < some; ++step) {
      for (int v = 0; v < kPlaneVectors; ++v) {
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
    for (int v = 0; v < kPlaneVectors; ++v)
      total[v] = _mm256_add_epi64(total[v], sum_of_bytes(fours[v]));
    steps -= some;
  }
  for (int v = 0; v < kPlaneVectors; ++v) {
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

template <int kInput, int kWeight>
struct Count {
  static constexpr int kPlanes = kInput;
  using Lanes = Int32Lanes;
  static constexpr int kWords = 4, kMostRows = 1;
  static constexpr bool kOneByOne = kInput * kWeight == 1;

  template <class Word>
  static void pack(const Word& word, int64_t cells) {
    for (int64_t i = 0; i < cells; ++i) {
      if constexpr (kOneByOne) {
        const uint64_t first = word(2 * i);
        word(2 * i) ^= word(2 * i + 1);
        word(2 * i + 1) = first;
      } else if constexpr (kWeight == 2) {
        word(2 * i) = ~word(2 * i);
      }
    }
  }
  // What a product adds is 1 - x * w, or (1 - x * w) / 2.
  static int32_t init(const Layer& layer, int, int64_t cells) {
    return static_cast<int32_t>(kOneByOne ? layer.weights_per_output()
                                          : cells * 64);
  }
  static void finish(uint64_t* row, int64_t filled, int64_t) {
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
  template <int kRows>
  AQE_TARGET static void multiply(const uint64_t* patch, int64_t,
                                  const uint64_t* weights, int64_t cells,
                                  const int32_t* init, int32_t* acc) {
    __m256i counts[kPlaneVectors];
    count_row<kInput, kWeight>(patch, weights, cells, counts);
    __m256i added =
        _mm256_blend_epi32(counts[0], _mm256_slli_epi64(counts[1], 32), 0xaa);
    if constexpr (kOneByOne) added = _mm256_slli_epi32(added, 1);
    Int32Lanes::store(acc, _mm256_sub_epi32(Int32Lanes::load(init), added));
  }
};

struct Counts {
  template <int kInput, int kWeight>
  using Of = Count<kInput, kWeight>;
};

}  // namespace

extern constexpr Kernel kConvPlanesAvx2 =
    planes_kernel<Counts>("conv_2d_planes_avx2", Operator::kConv2D, kAvx2);
extern constexpr Kernel kDensePlanesAvx2 = planes_kernel<Counts>(
    "fully_connected_planes_avx2", Operator::kFullyConnected, kAvx2);

}  // namespace aqe
