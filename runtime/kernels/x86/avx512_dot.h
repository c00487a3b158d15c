// Products of bytes with the dot product of AVX-512 VNNI.
#pragma once

#ifndef AQE_BEYOND
#define AQE_BEYOND ",avx512vnni"
#endif
#include "kernels/x86/avx512.h"

#include <cstring>

namespace aqe {
namespace {

struct ByteDot {
  using Lanes = Int32Lanes;
  static constexpr int kMostRows = 14, kMostVectors = 2;
  static constexpr bool kIsNarrow = false;

  AQE_TARGET static __m512i broadcast(const char* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm512_set1_epi32(bytes);
  }
  AQE_TARGET static __m512i load(const char* weights) {
    return _mm512_load_si512(weights);
  }
  AQE_TARGET static __m512i add(__m512i acc, __m512i in, __m512i w) {
    return _mm512_dpbusd_epi32(acc, in, w);
  }
};

}  // namespace
}  // namespace aqe
