// Convolutions of images and dense layers of floats with AVX-512. One value of
// a patch is broadcast, and the order of the sum is that of the format.
#include "kernels/x86/avx512.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_conv.h"
#include "kernels/x86/dot_dense.h"
#include "kernels/x86/dot_rows.h"

namespace aqe {
namespace {

struct FloatDot {
  using Lanes = FloatLanes;
  static constexpr int kMostRows = 14, kMostVectors = 2;
  static constexpr bool kIsNarrow = false;

  AQE_TARGET static __m512 broadcast(const char* patch) {
    return _mm512_set1_ps(*reinterpret_cast<const float*>(patch));
  }
  AQE_TARGET static __m512 load(const char* weights) {
    return _mm512_load_ps(weights);
  }
  AQE_TARGET static __m512 add(__m512 sum, __m512 in, __m512 w) {
    return _mm512_fmadd_ps(in, w, sum);
  }
};

struct DenseFloat : FloatDot {
  using Chunk = Fields;
  static constexpr int kMostRows = 4;
  static constexpr int kSteps = 32 / kFloatField;

  AQE_TARGET static __m512 table(int weight_bits) {
    alignas(64) float values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<float>(code_from_planes(weight_bits, i));
    return _mm512_load_ps(values);
  }
  AQE_TARGET static __m512i load(const char* chunk) {
    prefetch(chunk);
    return _mm512_load_si512(chunk);
  }
  AQE_TARGET static __m512 weights(__m512i packed, int step, __m512 table) {
    return _mm512_permutexvar_ps(_mm512_srli_epi32(packed, step * kFloatField),
                                 table);
  }
};

struct Methods {
  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(DotDense<DenseFloat>());
  }
};

}  // namespace

extern constexpr Kernel kConvImageRowsAvx512 =
    RowsKernel<DotRows<FloatDot>>::kernel(
        "conv_2d_image_rows_avx512", width_set(Type::kFloat32, Type::kUInt8),
        kAvx512);
extern constexpr Kernel kConvImageAvx512 = dot_conv_kernel<FloatDot>(
    "conv_2d_image_avx512", width_set(Type::kFloat32, Type::kUInt8), kAvx512);
extern constexpr Kernel kDenseFloatAvx512 =
    TiledKernel<DenseMethods<Methods, Fields, 4>>::kernel(
        "fully_connected_float_avx512", Operator::kFullyConnected,
        width_set(Type::kFloat32), kWeightWidths, kAvx512);

}  // namespace aqe
