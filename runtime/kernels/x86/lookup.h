// What the look-ups of AVX2 and AVX-512 have in common, registers of 16 bytes
// and the output stage; the instruction set's header comes first.
#pragma once

#include "kernels/loops/lookup_conv.h"
#include "kernels/x86/output.h"

namespace aqe {
namespace {

struct LookupParts {
  using Part = __m128i;

  AQE_TARGET static Part load_part(const void* from) {
    return _mm_loadu_si128(static_cast<const __m128i*>(from));
  }
  AQE_TARGET static void store_part(void* to, Part part) {
    _mm_storeu_si128(static_cast<__m128i*>(to), part);
  }
  AQE_TARGET static Part no_part() { return _mm_setzero_si128(); }
  AQE_TARGET static void store_words(Part part, uint64_t* to, int64_t step) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), part);
    _mm_storeh_pd(reinterpret_cast<double*>(to + step), _mm_castsi128_pd(part));
  }
  AQE_TARGET static Part low_bytes(Part a, Part b) {
    return _mm_unpacklo_epi8(a, b);
  }
  AQE_TARGET static Part high_bytes(Part a, Part b) {
    return _mm_unpackhi_epi8(a, b);
  }
  AQE_TARGET static void interleave_pairs(Part (&parts)[8]) {
    Part result[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      result[2 * i] = _mm_unpacklo_epi16(parts[i], parts[4 + i]);
      result[2 * i + 1] = _mm_unpackhi_epi16(parts[i], parts[4 + i]);
    }
    std::copy_n(result, 8, parts);
  }
  AQE_TARGET static void store_sums(Part part, int halved,
                                    const int32_t* offset, int32_t* acc) {
    const __m256i sums = _mm256_sll_epi32(_mm256_cvtepu16_epi32(part),
                                          _mm_cvtsi32_si128(halved));
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(acc),
        _mm256_sub_epi32(sums, _mm256_loadu_si256(
                                   reinterpret_cast<const __m256i*>(offset))));
  }

  static size_t output_bytes(const Layer&) { return 0; }
  static void pack_output(const Layer&, void*) {}
  AQE_TARGET static void store_output(const Layer& layer, const void* constants,
                                      const int32_t* acc, int pixels, int block,
                                      char* pixel) {
    VectorOutput<Int32Lanes>::store_pixels(layer, constants, acc, pixels, block,
                                           pixel);
  }
};

}  // namespace
}  // namespace aqe
