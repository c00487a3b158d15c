// Depthwise convolutions, pools and dequantize with AVX2.
#include "kernels/x86/avx2.h"

#include "kernels/kernels.h"
#include "kernels/x86/code_blocks.h"

namespace aqe {
namespace {

struct Decode {
  AQE_TARGET static void block(Type input, const char* from, int count,
                               int16_t* to) {
    if (input == Type::kInt8) {
      alignas(32) char bytes[kBlock] = {};
      std::memcpy(bytes, from, count);
      for (int i = 0; i < kBlock; i += kBytes) {
        widen(_mm256_load_si256(reinterpret_cast<const __m256i*>(bytes + i)),
              to + i);
      }
      return;
    }
    const auto* planes = reinterpret_cast<const uint64_t*>(from);
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(byte_table(input))));
    const __m256i raise = _mm256_set1_epi8(static_cast<char>(raise_of(input)));
    for (int i = 0; i < kBlock; i += kBytes) {
      __m256i number = _mm256_setzero_si256();
      for (int p = 0; p < bits(input); ++p) {
        number = _mm256_or_si256(
            number, _mm256_and_si256(
                        bytes_of_bits(static_cast<uint32_t>(planes[p] >> i)),
                        _mm256_set1_epi8(static_cast<char>(1 << p))));
      }
      widen(_mm256_sub_epi8(_mm256_shuffle_epi8(table, number), raise), to + i);
    }
  }

 private:
  AQE_TARGET static void widen(__m256i codes, int16_t* to) {
    auto* half = reinterpret_cast<__m256i*>(to);
    _mm256_storeu_si256(half,
                        _mm256_cvtepi8_epi16(_mm256_castsi256_si128(codes)));
    _mm256_storeu_si256(
        half + 1, _mm256_cvtepi8_epi16(_mm256_extracti128_si256(codes, 1)));
  }
};

using Blocks = CodeBlocks<Int32Lanes, FloatLanes, Decode>;

}  // namespace

extern constexpr Kernel kDepthwisePlanesAvx2 =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_avx2", kAvx2);
extern constexpr Kernel kDepthwiseAvx2 =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_avx2", kAvx2);
extern constexpr Kernel kMaxPoolAvx2 =
    max_pool_kernel<Blocks>("max_pool_2d_avx2", kAvx2);
extern constexpr Kernel kAveragePoolAvx2 =
    average_pool_kernel<Blocks>("average_pool_2d_avx2", kAvx2);
extern constexpr Kernel kDequantizeAvx2 =
    dequantize_kernel<Blocks>("dequantize_avx2", kAvx2);

}  // namespace aqe
