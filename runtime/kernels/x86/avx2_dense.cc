// Dense layers with the multiplications of AVX2, or in float: a chunk of
// weights is eight registers of eight output channels.
//
// Pairs of products are summed in 16 bits for as many chunks as cannot
// overflow; where that is not even one, each step goes into 32 bits.
#include "kernels/x86/avx2.h"

#include <immintrin.h>

#include <limits>

#include "kernels/kernels.h"
#include "kernels/x86/dot_dense.h"

namespace aqe {
namespace {

constexpr int kVectors = kBlock / kLanes;

// Steps whose pairs of products fit into 16 bits.
int64_t most_steps(const Layer& layer) {
  const int byte = std::min(2 * raise_of(layer.input), 255);
  return 32767 / (2 * byte * max_code(layer.weight_bits));
}

AQE_AVX2 inline __m256i sum_pairs(__m256i pairs) {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

template <int kField, bool kNarrow>
struct Codes {
  using Lanes = Int32Lanes;
  using Table = __m256i;
  static constexpr int kSteps = 8 / kField;  // of a chunk

  static int64_t most_chunks(const Layer& layer) {
    return kNarrow ? most_steps(layer) / kSteps
                   : std::numeric_limits<int64_t>::max();
  }
  AQE_AVX2 static Table table(int weight_bits) {
    alignas(16) char values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<char>(code_from_planes(weight_bits, i));
    return _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(values)));
  }
  AQE_AVX2 static __m256i weights(__m256i packed, int step, Table table) {
    const __m256i field = _mm256_set1_epi8((1 << kField) - 1);
    return _mm256_shuffle_epi8(
        table,
        _mm256_and_si256(_mm256_srli_epi16(packed, step * kField), field));
  }
  AQE_AVX2 static __m256i broadcast(const char* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm256_set1_epi32(bytes);
  }
  AQE_AVX2 static __m256i start(__m256i acc) {
    return kNarrow ? _mm256_setzero_si256() : acc;
  }
  AQE_AVX2 static __m256i add(__m256i sum, __m256i in, __m256i w) {
    const __m256i pairs = _mm256_maddubs_epi16(in, w);
    return kNarrow ? _mm256_add_epi16(sum, pairs)
                   : _mm256_add_epi32(sum, sum_pairs(pairs));
  }
  AQE_AVX2 static __m256i finish(__m256i acc, __m256i sum) {
    return kNarrow ? _mm256_add_epi32(acc, sum_pairs(sum)) : sum;
  }
};

struct Floats {
  using Lanes = FloatLanes;
  static constexpr int kSteps = 32 / kFloatField;
  struct Table {
    __m256 low, high;
  };

  static int64_t most_chunks(const Layer&) {
    return std::numeric_limits<int64_t>::max();
  }
  AQE_AVX2 static Table table(int weight_bits) {
    alignas(32) float values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<float>(code_from_planes(weight_bits, i));
    return {_mm256_load_ps(values), _mm256_load_ps(values + 8)};
  }
  AQE_AVX2 static __m256 weights(__m256i packed, int step, const Table& table) {
    const __m256i index = _mm256_srli_epi32(packed, step * kFloatField);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, index),
                            _mm256_permutevar8x32_ps(table.high, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  }
  AQE_AVX2 static __m256 broadcast(const char* patch) {
    return _mm256_broadcast_ss(reinterpret_cast<const float*>(patch));
  }
  AQE_AVX2 static __m256 start(__m256 acc) { return acc; }
  AQE_AVX2 static __m256 add(__m256 sum, __m256 in, __m256 w) {
    return _mm256_fmadd_ps(in, w, sum);
  }
  AQE_AVX2 static __m256 finish(__m256, __m256 sum) { return sum; }
};

// One row times 64 output channels.
template <class Method>
AQE_AVX2 void multiply_row(const char* patch, const char* packed,
                           int64_t chunks, int64_t most_chunks, int weight_bits,
                           const typename Method::Lanes::Acc* init,
                           typename Method::Lanes::Acc* acc) {
  using Lanes = typename Method::Lanes;
  const auto table = Method::table(weight_bits);
  std::copy_n(init, kBlock, acc);
  while (chunks > 0) {
    const int64_t some = std::min(chunks, most_chunks);
    typename Lanes::Vector sums[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      sums[v] = Method::start(Lanes::load(acc + v * kLanes));
    for (int64_t chunk = 0; chunk < some; ++chunk) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const char* at = packed + v * kBytes;
        _mm_prefetch(at + kAhead, _MM_HINT_T0);
        const __m256i w =
            _mm256_load_si256(reinterpret_cast<const __m256i*>(at));
#pragma GCC unroll 8
        for (int step = 0; step < Method::kSteps; ++step) {
          sums[v] = Method::add(sums[v], Method::broadcast(patch + step * 4),
                                Method::weights(w, step, table));
        }
      }
      patch += Method::kSteps * 4;
      packed += Fields::kBytes;
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      auto* at = acc + v * kLanes;
      Lanes::store(at, Method::finish(Lanes::load(at), sums[v]));
    }
    chunks -= some;
  }
}

template <class Method>
struct Rows : Method {
  using Chunk = Fields;

  static void multiply(const Layer& layer, const char* patches, size_t stride,
                       int rows, const char* weights, int64_t chunks,
                       const typename Method::Lanes::Acc* init,
                       typename Method::Lanes::Acc* acc) {
    for (int r = 0; r < rows; ++r) {
      multiply_row<Method>(patches + r * stride, weights, chunks,
                           Method::most_chunks(layer), layer.weight_bits, init,
                           acc + r * kBlock);
    }
  }
};

struct Choose {
  template <int kField, class Call>
  static auto with_codes(const Layer& layer, Call call) {
    return most_steps(layer) >= 8 / kField
               ? call(DotDense<Rows<Codes<kField, true>>>())
               : call(DotDense<Rows<Codes<kField, false>>>());
  }
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    if (layer.float_accumulator()) return call(DotDense<Rows<Floats>>());
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
using Tiled = TiledKernel<Choose>;

constexpr Kernel dense_kernel(const char* name, WidthSet inputs) {
  return {name,
          Operator::kFullyConnected,
          inputs,
          width_set(1, 2, 3, 4),
          kAvx2,
          1,
          kBlock,
          nullptr,
          dense_constants_bytes<Fields>,
          pack_dense<Fields>,
          Tiled::scratch_bytes,
          Tiled::units,
          Tiled::run};
}

}  // namespace

extern const Kernel kDenseDotAvx2 =
    dense_kernel("fully_connected_dot_avx2",
                 width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3,
                           Type::kPacked4, Type::kInt8));
extern const Kernel kDenseFloatAvx2 =
    dense_kernel("fully_connected_float_avx2", width_set(Type::kFloat32));

}  // namespace aqe
