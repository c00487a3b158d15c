// Products of bytes with AVX2, in pairs of 16 bits.
#pragma once

#include "kernels/x86/avx2.h"

namespace aqe {
namespace {

// Steps whose pairs of products 16 bits hold; at least one of one pair, since
// 2 * 255 * 64 < 2^15.
inline int64_t most_pairs(const Layer& layer) {
  const int byte = std::min(2 * raise_of(layer.input), 255);
  return 32767 / (2 * byte * max_code(layer.weight_bits));
}

struct ByteProducts {
  using Lanes = Int32Lanes;

  AQE_TARGET static __m256i broadcast(const char* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm256_set1_epi32(bytes);
  }
  AQE_TARGET static __m256i load(const char* weights) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(weights));
  }
  AQE_TARGET static __m256i pairs(__m256i in, __m256i w) {
    return _mm256_maddubs_epi16(in, w);
  }
  AQE_TARGET static __m256i widen(__m256i acc, __m256i pairs) {
    return _mm256_add_epi32(acc,
                            _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

// For convolutions (dot_conv.h).
struct ByteDot : ByteProducts {
  static constexpr int kMostRows = 4, kMostVectors = 2;
  static constexpr bool kIsNarrow = true;

  static int64_t most_steps(const Layer& layer) { return most_pairs(layer); }
  AQE_TARGET static __m256i zero() { return _mm256_setzero_si256(); }
  AQE_TARGET static __m256i add(__m256i sum, __m256i in, __m256i w) {
    return _mm256_add_epi16(sum, pairs(in, w));
  }
};

}  // namespace
}  // namespace aqe
