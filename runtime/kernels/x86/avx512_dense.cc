// Dense layers with the dot product of AVX-512 VNNI.
#include "kernels/x86/avx512_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_dense.h"

namespace aqe {
namespace {

template <int kBits>
struct Codes : ByteDot {
  using Chunk = Fields;
  static constexpr int kMostRows = 4;
  static constexpr int kField = field_bits(kBits);
  static constexpr int kSteps = 8 / kField;  // of a chunk

  AQE_TARGET static __m512i table(int) {
    alignas(16) char values[16] = {};
    for (int i = 0; i < 1 << kBits; ++i)
      values[i] = static_cast<char>(code_from_planes(kBits, i));
    return _mm512_broadcast_i32x4(
        _mm_load_si128(reinterpret_cast<const __m128i*>(values)));
  }
  AQE_TARGET static __m512i load(const char* chunk) {
    prefetch(chunk);
    return ByteDot::load(chunk);
  }
  AQE_TARGET static __m512i weights(__m512i packed, int step, __m512i table) {
    __m512i index = _mm512_srli_epi16(packed, step * kField);
    // A table is looked up by bits 0 to 3, and where bit 7 is set gives 0; of
    // two weights of 3 bits it never is.
    if constexpr (kBits != 3)
      index = _mm512_and_si512(index, _mm512_set1_epi8((1 << kField) - 1));
    return _mm512_shuffle_epi8(table, index);
  }
};

struct Methods {
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    switch (layer.weight_bits) {
      case 1:
        return call(DotDense<Codes<1>>());
      case 2:
        return call(DotDense<Codes<2>>());
      case 3:
        return call(DotDense<Codes<3>>());
      default:
        return call(DotDense<Codes<4>>());
    }
  }
};

}  // namespace

extern constexpr Kernel kDenseDotAvx512 =
    TiledKernel<DenseMethods<Methods, Fields, 4>>::kernel(
        "fully_connected_dot_avx512", Operator::kFullyConnected, kCodeWidths,
        kWeightWidths, kAvx512 | kAvx512Vnni);

}  // namespace aqe
