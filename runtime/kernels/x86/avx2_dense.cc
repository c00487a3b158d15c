// Dense layers with the multiplications of AVX2.
//
// Pairs of products are summed in 16 bits for as many chunks as cannot
// overflow; where that is not even one, each step goes into 32 bits.
#include "kernels/x86/avx2_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_dense.h"

namespace aqe {
namespace {

template <int kField, bool kNarrow>
struct Codes : ByteProducts {
  using Chunk = Fields;
  using Table = __m256i;
  static constexpr int kMostRows = 1;
  static constexpr int kSteps = 8 / kField;  // of a chunk
  static constexpr bool kIsNarrow = kNarrow;

  static int64_t most_chunks(const Layer& layer) {
    return most_pairs(layer) / kSteps;
  }
  AQE_TARGET static Table table(int weight_bits) {
    alignas(16) char values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<char>(code_from_planes(weight_bits, i));
    return _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(values)));
  }
  AQE_TARGET static __m256i load(const char* chunk) {
    prefetch(chunk);
    return ByteProducts::load(chunk);
  }
  AQE_TARGET static __m256i weights(__m256i packed, int step, Table table) {
    const __m256i field = _mm256_set1_epi8((1 << kField) - 1);
    return _mm256_shuffle_epi8(
        table,
        _mm256_and_si256(_mm256_srli_epi16(packed, step * kField), field));
  }
  AQE_TARGET static __m256i zero() { return _mm256_setzero_si256(); }
  AQE_TARGET static __m256i add(__m256i sum, __m256i in, __m256i w) {
    return kNarrow ? _mm256_add_epi16(sum, pairs(in, w))
                   : widen(sum, pairs(in, w));
  }
};

struct Methods {
  template <int kField, class Call>
  static auto with_codes(const Layer& layer, Call call) {
    return most_pairs(layer) >= 8 / kField
               ? call(DotDense<Codes<kField, true>>())
               : call(DotDense<Codes<kField, false>>());
  }
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    switch (field_bits(layer.weight_bits)) {
      case 1:
        return with_codes<1>(layer, call);
      case 2:
        return with_codes<2>(layer, call);
      default:
        return with_codes<4>(layer, call);
    }
  }
};

}  // namespace

extern constexpr Kernel kDenseDotAvx2 =
    TiledKernel<DenseMethods<Methods, Fields, 1>>::kernel(
        "fully_connected_dot_avx2", Operator::kFullyConnected, kCodeWidths,
        kWeightWidths, kAvx2);

}  // namespace aqe
