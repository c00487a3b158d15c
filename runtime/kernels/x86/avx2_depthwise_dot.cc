// Depthwise convolutions by products of bytes with AVX2.
#include "kernels/x86/avx2_dot.h"

#include "kernels/kernels.h"
#include "kernels/loops/depthwise_dot.h"
#include "kernels/x86/depthwise_dot.h"

namespace aqe {
namespace {

struct Bytes256 {
  static constexpr int kBytes = aqe::kBytes;
  using Vectors = Avx2;
  using Bytes = __m256i;

  AQE_TARGET static Bytes load(const void* from) {
    return _mm256_load_si256(static_cast<const __m256i*>(from));
  }
  AQE_TARGET static void store(Bytes bytes, void* to) {
    _mm256_store_si256(static_cast<__m256i*>(to), bytes);
  }
  AQE_TARGET static Bytes load_raised(const char* from, int count) {
    alignas(32) char some[kBytes];
    if (count < kBytes)
      from = static_cast<char*>(std::memcpy(some, from, count));
    return _mm256_xor_si256(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
        _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  AQE_TARGET static Bytes turn_lanes(Bytes bytes) {
    return _mm256_permutevar8x32_epi32(
        bytes, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  }
  AQE_TARGET static Bytes low_bytes(Bytes a, Bytes b) {
    return _mm256_unpacklo_epi8(a, b);
  }
  AQE_TARGET static Bytes high_bytes(Bytes a, Bytes b) {
    return _mm256_unpackhi_epi8(a, b);
  }
  AQE_TARGET static Bytes low_pairs(Bytes a, Bytes b) {
    return _mm256_unpacklo_epi16(a, b);
  }
  AQE_TARGET static Bytes high_pairs(Bytes a, Bytes b) {
    return _mm256_unpackhi_epi16(a, b);
  }
  AQE_TARGET static Bytes add(Bytes sums, Bytes codes, Bytes weights) {
    return ByteProducts::widen(sums, ByteProducts::pairs(codes, weights));
  }
};

}  // namespace

extern constexpr Kernel kDepthwiseDotAvx2 =
    depthwise_dot::DotKernel<DepthwiseDot<Bytes256>>::kernel(
        "depthwise_conv_2d_dot_avx2", kAvx2);

}  // namespace aqe
