// SHIFT and mixed widths with the multiplications of AVX2, and the layer on the
// image in float.
//
// Codes are decoded to bytes without sign while the patches are gathered. Four
// neighbouring bytes of a patch are broadcast against eight output channels;
// pairs of products are summed in 16 bits, for as many steps as cannot
// overflow (at least one: 2 * 255 * 64 < 2^15). In float one value is
// broadcast, and the order of the sum is that of the format.
#include "kernels/x86/avx2.h"

#include <immintrin.h>

#include <limits>

#include "kernels/kernels.h"
#include "kernels/x86/dot_conv.h"

namespace aqe {
namespace {

constexpr int kRows = 4;     // positions at a time
constexpr int kVectors = 2;  // registers of eight output channels at a time
constexpr int kChannels = kLanes * kVectors;

struct ByteDot {
  using Lanes = Int32Lanes;

  static int64_t most_steps(const Layer& layer) {
    const int byte = std::min(2 * raise_of(layer.input), 255);
    return 32767 / (2 * byte * max_code(layer.weight_bits));
  }
  AQE_AVX2 static __m256i start(__m256i) { return _mm256_setzero_si256(); }
  AQE_AVX2 static __m256i broadcast(const char* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm256_set1_epi32(bytes);
  }
  AQE_AVX2 static __m256i load(const char* weights) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(weights));
  }
  AQE_AVX2 static __m256i add(__m256i sum, __m256i in, __m256i w) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(in, w));
  }
  AQE_AVX2 static __m256i finish(__m256i acc, __m256i sum) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
  }
};

struct FloatDot {
  using Lanes = FloatLanes;

  static int64_t most_steps(const Layer&) {
    return std::numeric_limits<int64_t>::max();
  }
  AQE_AVX2 static __m256 start(__m256 acc) { return acc; }
  AQE_AVX2 static __m256 broadcast(const char* patch) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(patch));
  }
  AQE_AVX2 static __m256 load(const char* weights) {
    return _mm256_load_ps(reinterpret_cast<const float*>(weights));
  }
  AQE_AVX2 static __m256 add(__m256 sum, __m256 in, __m256 w) {
    return _mm256_fmadd_ps(in, w, sum);
  }
  AQE_AVX2 static __m256 finish(__m256, __m256 sum) { return sum; }
};

// Four rows times 16 output channels.
template <class Dot>
AQE_AVX2 void multiply_rows(const char* patch, size_t stride,
                            const char* weights, int64_t steps,
                            int64_t most_steps,
                            const typename Dot::Lanes::Acc* init,
                            typename Dot::Lanes::Acc* acc) {
  using Lanes = typename Dot::Lanes;
  using Vector = typename Lanes::Vector;
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v)
      Lanes::store(acc + r * kBlock + v * kLanes,
                   Lanes::load(init + v * kLanes));
  }
  while (steps > 0) {
    const int64_t some = std::min(steps, most_steps);
    Vector sums[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v)
        sums[r][v] = Dot::start(Lanes::load(acc + r * kBlock + v * kLanes));
    }
    for (int64_t step = 0; step < some; ++step) {
      const Vector w0 = Dot::load(weights), w1 = Dot::load(weights + kBytes);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const Vector in = Dot::broadcast(patch + r * stride);
        sums[r][0] = Dot::add(sums[r][0], in, w0);
        sums[r][1] = Dot::add(sums[r][1], in, w1);
      }
      patch += 4;
      weights += kVectors * kBytes;
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        auto* at = acc + r * kBlock + v * kLanes;
        Lanes::store(at, Dot::finish(Lanes::load(at), sums[r][v]));
      }
    }
    steps -= some;
  }
}

template <class Dot>
struct Rows : Dot {
  static constexpr int kChannels = aqe::kChannels;

  static void multiply(const Layer& layer, const char* patches, size_t stride,
                       int rows, int, const char* weights, int64_t steps,
                       const typename Dot::Lanes::Acc* init,
                       typename Dot::Lanes::Acc* acc) {
    for (int r = 0; r < rows; r += kRows) {
      multiply_rows<Dot>(patches + r * stride, stride, weights, steps,
                         Dot::most_steps(layer), init, acc + r * kBlock);
    }
  }
};

struct Choose {
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    if (!layer.float_accumulator()) return call(DotConv<Rows<ByteDot>>());
    return call(DotConv<Rows<FloatDot>>());
  }
};
using Tiled = TiledKernel<Choose>;

constexpr Kernel dot_kernel(const char* name, WidthSet inputs) {
  return {name,
          Operator::kConv2D,
          inputs,
          width_set(1, 2, 3, 4),
          kAvx2,
          kRows,
          kChannels,
          fits_tiles,
          dot_constants_bytes,
          pack_dot<kChannels>,
          Tiled::scratch_bytes,
          Tiled::units,
          Tiled::run};
}

}  // namespace

extern const Kernel kConvDotAvx2 = dot_kernel(
    "conv_2d_dot_avx2", width_set(Type::kPacked1, Type::kPacked2,
                                  Type::kPacked3, Type::kPacked4, Type::kInt8));
extern const Kernel kConvImageAvx2 =
    dot_kernel("conv_2d_image_avx2", width_set(Type::kFloat32, Type::kUInt8));

}  // namespace aqe
