// SHIFT and mixed widths with the dot product of AVX-512 VNNI, and the layer on
// the image in float.
//
// Codes are decoded to bytes while the patches are gathered. Four neighbouring
// bytes of a patch are broadcast against 16 output channels. In float one value
// is broadcast, and the order of the sum is that of the format.
#include <immintrin.h>

#include "kernels/avx512.h"
#include "kernels/dot_conv.h"
#include "kernels/kernels.h"

#define AQE_AVX512_VNNI \
  __attribute__((       \
      target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace aqe {
namespace {

constexpr int kMostRows = 14;    // positions at a time, an even number
constexpr int kMostVectors = 2;  // registers of 16 output channels at a time
constexpr int kChannels = kLanes * kMostVectors;

// One broadcast of 32 bits against a register of weights.
struct ByteDot {
  using Lanes = Int32Lanes;
  AQE_AVX512_VNNI static inline __m512i broadcast(const void* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm512_set1_epi32(bytes);
  }
  AQE_AVX512_VNNI static inline __m512i load(const void* from) {
    return _mm512_load_si512(from);
  }
  AQE_AVX512_VNNI static inline __m512i add(__m512i acc, __m512i in,
                                            __m512i w) {
    return _mm512_dpbusd_epi32(acc, in, w);
  }
};

struct FloatDot {
  using Lanes = FloatLanes;
  AQE_AVX512_VNNI static inline __m512 broadcast(const void* patch) {
    return _mm512_set1_ps(*static_cast<const float*>(patch));
  }
  AQE_AVX512_VNNI static inline __m512 load(const void* from) {
    return _mm512_load_ps(from);
  }
  AQE_AVX512_VNNI static inline __m512 add(__m512 acc, __m512 in, __m512 w) {
    return _mm512_fmadd_ps(in, w, acc);
  }
};

// kRowCount rows times 16 or 32 output channels.
template <class Dot, int kVectors, int kRowCount>
AQE_AVX512_VNNI void multiply_rows(const char* patch, size_t stride,
                                   const char* weights, int64_t steps,
                                   const void* init,
                                   typename Dot::Lanes::Acc* acc) {
  typename Dot::Lanes::Vector sums[kRowCount][kVectors];
#pragma GCC unroll 14
  for (int r = 0; r < kRowCount; ++r) {
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = Dot::load(static_cast<const char*>(init) + v * 64);
  }
  for (int64_t step = 0; step < steps; ++step) {
    typename Dot::Lanes::Vector w[kVectors];
    for (int v = 0; v < kVectors; ++v) w[v] = Dot::load(weights + v * 64);
#pragma GCC unroll 14
    for (int r = 0; r < kRowCount; ++r) {
      const auto in = Dot::broadcast(patch + r * stride + step * 4);
      for (int v = 0; v < kVectors; ++v)
        sums[r][v] = Dot::add(sums[r][v], in, w[v]);
    }
    weights += kMostVectors * 64;
  }
#pragma GCC unroll 14
  for (int r = 0; r < kRowCount; ++r) {
    for (int v = 0; v < kVectors; ++v)
      Dot::Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
  }
}

template <class Dot>
struct Rows : Dot {
  static constexpr int kChannels = aqe::kChannels;

  static void multiply(const Layer&, const char* patches, size_t stride,
                       int rows, int channels, const char* weights,
                       int64_t steps, const typename Dot::Lanes::Acc* init,
                       typename Dot::Lanes::Acc* acc) {
    const auto run =
        channels > kLanes ? multiply_all<kMostVectors> : multiply_all<1>;
    run(patches, stride, rows, weights, steps, init, acc);
  }

 private:
  template <int kVectors>
  static void multiply_all(const char* patches, size_t stride, int rows,
                           const char* weights, int64_t steps,
                           const typename Dot::Lanes::Acc* init,
                           typename Dot::Lanes::Acc* acc) {
    static constexpr decltype(&multiply_rows<Dot, kVectors, 2>) kRuns[] = {
        multiply_rows<Dot, kVectors, 2>,  multiply_rows<Dot, kVectors, 4>,
        multiply_rows<Dot, kVectors, 6>,  multiply_rows<Dot, kVectors, 8>,
        multiply_rows<Dot, kVectors, 10>, multiply_rows<Dot, kVectors, 12>,
        multiply_rows<Dot, kVectors, 14>,
    };
    // In runs of about the same length: short ones wait for their sums.
    for (int r = 0, count; r < rows; r += count) {
      const int runs = (rows - r + kMostRows - 1) / kMostRows;
      count = static_cast<int>(round_up((rows - r + runs - 1) / runs, 2));
      kRuns[count / 2 - 1](patches + r * stride, stride, weights, steps, init,
                           acc + r * kBlock);
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

constexpr Kernel dot_kernel(const char* name, Operator op, WidthSet inputs,
                            uint32_t features) {
  return {name,
          op,
          inputs,
          width_set(1, 2, 3, 4),
          features,
          kMostRows,
          kChannels,
          fits_tiles,
          dot_constants_bytes,
          pack_dot<kChannels>,
          Tiled::scratch_bytes,
          Tiled::units,
          Tiled::run};
}

constexpr WidthSet kCodes =
    width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kPacked4,
              Type::kInt8);

}  // namespace

extern const Kernel kConvDotAvx512 = dot_kernel(
    "conv_2d_dot_avx512", Operator::kConv2D, kCodes, kAvx512 | kAvx512Vnni);
extern const Kernel kConvImageAvx512 =
    dot_kernel("conv_2d_image_avx512", Operator::kConv2D,
               width_set(Type::kFloat32, Type::kUInt8), kAvx512);

}  // namespace aqe
