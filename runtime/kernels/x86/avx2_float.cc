// Convolutions of images and dense layers of floats with AVX2. One value of a
// patch is broadcast, and the order of the sum is that of the format.
#include "kernels/x86/avx2.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_conv.h"
#include "kernels/x86/dot_dense.h"
#include "kernels/x86/dot_rows.h"

namespace aqe {
namespace {

struct FloatDot {
  using Lanes = FloatLanes;
  static constexpr int kMostRows = 4, kMostVectors = 2;
  static constexpr bool kIsNarrow = false;

  AQE_TARGET static __m256 broadcast(const char* patch) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(patch));
  }
  AQE_TARGET static __m256 load(const char* weights) {
    return _mm256_load_ps(reinterpret_cast<const float*>(weights));
  }
  AQE_TARGET static __m256 add(__m256 sum, __m256 in, __m256 w) {
    return _mm256_fmadd_ps(in, w, sum);
  }
};

struct DenseFloat : FloatDot {
  using Chunk = Fields;
  static constexpr int kMostRows = 1;
  static constexpr int kSteps = 32 / kFloatField;
  struct Table {
    __m256 low, high;
  };

  AQE_TARGET static Table table(int weight_bits) {
    alignas(32) float values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<float>(code_from_planes(weight_bits, i));
    return {_mm256_load_ps(values), _mm256_load_ps(values + 8)};
  }
  AQE_TARGET static __m256i load(const char* chunk) {
    prefetch(chunk);
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(chunk));
  }
  AQE_TARGET static __m256 weights(__m256i packed, int step,
                                   const Table& table) {
    const __m256i index = _mm256_srli_epi32(packed, step * kFloatField);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index),
                            _mm256_permutevar8x32_ps(table.high, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  }
};

struct Methods {
  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(DotDense<DenseFloat>());
  }
};

}  // namespace

extern constexpr Kernel kConvImageRowsAvx2 =
    RowsKernel<DotRows<FloatDot>>::kernel(
        "conv_2d_image_rows_avx2", width_set(Type::kFloat32, Type::kUInt8),
        kAvx2);
extern constexpr Kernel kConvImageAvx2 = dot_conv_kernel<FloatDot>(
    "conv_2d_image_avx2", width_set(Type::kFloat32, Type::kUInt8), kAvx2);
extern constexpr Kernel kDenseFloatAvx2 =
    TiledKernel<DenseMethods<Methods, Fields, 1>>::kernel(
        "fully_connected_float_avx2", Operator::kFullyConnected,
        width_set(Type::kFloat32), kWeightWidths, kAvx2);

}  // namespace aqe
