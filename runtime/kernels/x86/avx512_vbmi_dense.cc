// Dense layers with weights of 3 bits that take 3 bits, with the dot product of
// AVX-512 VNNI: the look-ups of VBMI read six bits of a byte, two weights, and
// leave out the two above, so that they pick either weight without a shift or a
// mask.
#define AQE_BEYOND ",avx512vnni,avx512vbmi"
#include "kernels/x86/avx512_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_dense.h"

namespace aqe {
namespace {

// Eight steps in three parts: each part holds two steps in the low six bits of
// its bytes, and its two high bits are one of three pairs of another two steps,
// the first part's the lowest.
struct Threes {
  static constexpr int kParts = 3;
  static constexpr int kBytes = kParts * 4 * kBlock;
  static constexpr int kSteps = 8;

  static int64_t steps(const Layer&) { return kSteps; }
  static void put(const Layer&, uint32_t planes, int step, uint8_t* own) {
    constexpr int kPart = 4 * kBlock;
    const int first = step % 2 * 3;
    if (step / 2 < kParts) {
      add_word(planes << first, own + step / 2 * kPart);
      return;
    }
    for (int p = 0; p < 3; ++p) {
      const int bit = first + p;
      add_word((planes >> p & 0x01010101) << (6 + bit % 2),
               own + bit / 2 * kPart);
    }
  }
};

// The bits of `mask` from `low`, the others from `high`.
AQE_TARGET inline __m512i join(__m512i low, __m512i high, char mask) {
  constexpr int kFirstWhereThird = 0xe4;  // else the second
  return _mm512_ternarylogic_epi64(low, high, _mm512_set1_epi8(mask),
                                   kFirstWhereThird);
}

struct Codes : ByteDot {
  using Chunk = Threes;
  static constexpr int kMostRows = 4;
  static constexpr int kSteps = Threes::kSteps;

  // Codes by six bits, of the weight in the lower and in the upper three.
  struct Table {
    __m512i codes[2];
  };
  struct Packed {
    __m512i pairs[kSteps / 2];
  };

  AQE_TARGET static Table table(int) {
    alignas(64) char values[2][64];
    for (int i = 0; i < 64; ++i) {
      values[0][i] = static_cast<char>(code_from_planes(3, i & 7));
      values[1][i] = static_cast<char>(code_from_planes(3, i >> 3));
    }
    return {{_mm512_load_si512(values[0]), _mm512_load_si512(values[1])}};
  }
  AQE_TARGET static Packed load(const char* chunk) {
    Packed packed;
#pragma GCC unroll 3
    for (int part = 0; part < Threes::kParts; ++part) {
      const char* at = chunk + part * 4 * kBlock;
      prefetch(at);
      packed.pairs[part] = ByteDot::load(at);
    }
    const __m512i upper = join(_mm512_srli_epi16(packed.pairs[1], 4),
                               _mm512_srli_epi16(packed.pairs[2], 2), 0x0f);
    packed.pairs[3] = join(_mm512_srli_epi16(packed.pairs[0], 6), upper, 0x03);
    return packed;
  }
  AQE_TARGET static __m512i weights(const Packed& packed, int step,
                                    const Table& table) {
    return _mm512_permutexvar_epi8(packed.pairs[step / 2],
                                   table.codes[step % 2]);
  }
};

struct Methods {
  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(DotDense<Codes>());
  }
};

}  // namespace

extern constexpr Kernel kDenseDotAvx512Vbmi =
    TiledKernel<DenseMethods<Methods, Threes, 4>>::kernel(
        "fully_connected_dot_avx512_vbmi", Operator::kFullyConnected,
        kCodeWidths, width_set(3), kAvx512 | kAvx512Vnni | kAvx512Gfni);

}  // namespace aqe
