// Dense layers with the dot product of AVX-512 VNNI, or in float: a chunk of
// weights is four registers of 16 output channels.
#include "kernels/x86/avx512.h"

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/x86/dot_dense.h"

#define AQE_AVX512_VNNI \
  __attribute__((       \
      target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace aqe {
namespace {

constexpr int kRows = 4;  // of the batch at a time
constexpr int kVectors = kBlock / kLanes;

template <int kBits>
struct Codes {
  using Lanes = Int32Lanes;
  static constexpr int kField = field_bits(kBits);
  static constexpr int kSteps = 8 / kField;  // of a register

  AQE_AVX512_VNNI static inline __m512i table(int) {
    alignas(16) char values[16] = {};
    for (int i = 0; i < 1 << kBits; ++i)
      values[i] = static_cast<char>(code_from_planes(kBits, i));
    return _mm512_broadcast_i32x4(
        _mm_load_si128(reinterpret_cast<const __m128i*>(values)));
  }
  AQE_AVX512_VNNI static inline __m512i weights(__m512i packed, int step,
                                                __m512i table) {
    __m512i index = _mm512_srli_epi16(packed, step * kField);
    // A table is looked up by bits 0 to 3, and where bit 7 is set gives 0; of
    // two weights of 3 bits it never is.
    if constexpr (kBits != 3) {
      index = _mm512_and_si512(index, _mm512_set1_epi8((1 << kField) - 1));
    }
    return _mm512_shuffle_epi8(table, index);
  }
  AQE_AVX512_VNNI static inline __m512i broadcast(const char* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm512_set1_epi32(bytes);
  }
  AQE_AVX512_VNNI static inline __m512i add(__m512i acc, __m512i in,
                                            __m512i w) {
    return _mm512_dpbusd_epi32(acc, in, w);
  }
};

struct Floats {
  using Lanes = FloatLanes;
  static constexpr int kSteps = 8;

  AQE_AVX512_VNNI static inline __m512 table(int weight_bits) {
    alignas(64) float values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<float>(code_from_planes(weight_bits, i));
    return _mm512_load_ps(values);
  }
  AQE_AVX512_VNNI static inline __m512 weights(__m512i packed, int step,
                                               __m512 table) {
    return _mm512_permutexvar_ps(_mm512_srli_epi32(packed, 4 * step), table);
  }
  AQE_AVX512_VNNI static inline __m512 broadcast(const char* patch) {
    return _mm512_set1_ps(*reinterpret_cast<const float*>(patch));
  }
  AQE_AVX512_VNNI static inline __m512 add(__m512 acc, __m512 in, __m512 w) {
    return _mm512_fmadd_ps(in, w, acc);
  }
};

// kRowCount rows times 64 output channels; a chunk is what a register holds.
template <class Method, int kRowCount>
AQE_AVX512_VNNI void multiply_rows(const char* patch, size_t stride,
                                   const char* packed, int64_t chunks,
                                   int weight_bits,
                                   const typename Method::Lanes::Acc* init,
                                   typename Method::Lanes::Acc* acc) {
  using Lanes = typename Method::Lanes;
  typename Lanes::Vector sums[kRowCount][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRowCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = Lanes::load(init + v * kLanes);
  }
  const auto table = Method::table(weight_bits);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    __m512i w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      _mm_prefetch(packed + kAhead + v * 64, _MM_HINT_T0);
      w[v] = _mm512_load_si512(packed + v * 64);
    }
#pragma GCC unroll 8
    for (int step = 0; step < Method::kSteps; ++step) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const auto decoded = Method::weights(w[v], step, table);
#pragma GCC unroll 4
        for (int r = 0; r < kRowCount; ++r) {
          const auto in = Method::broadcast(
              patch + r * stride + (chunk * Method::kSteps + step) * 4);
          sums[r][v] = Method::add(sums[r][v], in, decoded);
        }
      }
    }
    packed += kVectors * 64;
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRowCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
  }
}

template <class Method>
struct Rows : Method {
  using Chunk = Fields;

  static void multiply(const Layer& layer, const char* patches, size_t stride,
                       int rows, const char* weights, int64_t chunks,
                       const typename Method::Lanes::Acc* init,
                       typename Method::Lanes::Acc* acc) {
    const auto run = layer.batch == 1 ? multiply_rows<Method, 1>
                                      : multiply_rows<Method, kRows>;
    for (int r = 0; r < rows; r += kRows)
      run(patches + r * stride, stride, weights, chunks, layer.weight_bits,
          init, acc + r * kBlock);
  }
};

struct Choose {
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    if (layer.float_accumulator()) return call(DotDense<Rows<Floats>>());
    switch (layer.weight_bits) {
      case 1:
        return call(DotDense<Rows<Codes<1>>>());
      case 2:
        return call(DotDense<Rows<Codes<2>>>());
      case 3:
        return call(DotDense<Rows<Codes<3>>>());
      default:
        return call(DotDense<Rows<Codes<4>>>());
    }
  }
};
using Tiled = TiledKernel<Choose>;

constexpr Kernel dense_kernel(const char* name, WidthSet inputs,
                              uint32_t features) {
  return {name,
          Operator::kFullyConnected,
          inputs,
          width_set(1, 2, 3, 4),
          features,
          kRows,
          kBlock,
          nullptr,
          dense_constants_bytes<Fields>,
          pack_dense<Fields>,
          Tiled::scratch_bytes,
          Tiled::units,
          Tiled::run};
}

}  // namespace

extern const Kernel kDenseDotAvx512 =
    dense_kernel("fully_connected_dot_avx512",
                 width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3,
                           Type::kPacked4, Type::kInt8),
                 kAvx512 | kAvx512Vnni);
extern const Kernel kDenseFloatAvx512 = dense_kernel(
    "fully_connected_float_avx512", width_set(Type::kFloat32), kAvx512);

}  // namespace aqe
