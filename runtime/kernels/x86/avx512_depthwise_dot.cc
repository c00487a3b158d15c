// Depthwise convolutions by the dot product of AVX-512 VNNI.
#include "kernels/x86/avx512_dot.h"

#include "kernels/kernels.h"
#include "kernels/loops/depthwise_dot.h"
#include "kernels/x86/depthwise_dot.h"

namespace aqe {
namespace {

struct Bytes512 {
  static constexpr int kBytes = aqe::kBytes;
  using Vectors = Avx512;
  using Bytes = __m512i;

  AQE_TARGET static Bytes load(const void* from) {
    return _mm512_load_si512(from);
  }
  AQE_TARGET static void store(Bytes bytes, void* to) {
    _mm512_store_si512(to, bytes);
  }
  AQE_TARGET static Bytes load_raised(const char* from, int count) {
    return _mm512_xor_si512(_mm512_maskz_loadu_epi8(first_bytes(count), from),
                            _mm512_set1_epi8(static_cast<char>(0x80)));
  }
  AQE_TARGET static Bytes turn_lanes(Bytes bytes) {
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
        bytes);
  }
  AQE_TARGET static Bytes low_bytes(Bytes a, Bytes b) {
    return _mm512_unpacklo_epi8(a, b);
  }
  AQE_TARGET static Bytes high_bytes(Bytes a, Bytes b) {
    return _mm512_unpackhi_epi8(a, b);
  }
  AQE_TARGET static Bytes low_pairs(Bytes a, Bytes b) {
    return _mm512_unpacklo_epi16(a, b);
  }
  AQE_TARGET static Bytes high_pairs(Bytes a, Bytes b) {
    return _mm512_unpackhi_epi16(a, b);
  }
  AQE_TARGET static Bytes add(Bytes sums, Bytes codes, Bytes weights) {
    return ByteDot::add(sums, codes, weights);
  }
};

}  // namespace

extern constexpr Kernel kDepthwiseDotAvx512 =
    depthwise_dot::DotKernel<DepthwiseDot<Bytes512>>::kernel(
        "depthwise_conv_2d_dot_avx512", kAvx512 | kAvx512Vnni);

}  // namespace aqe
