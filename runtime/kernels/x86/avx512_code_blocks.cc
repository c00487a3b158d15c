// Depthwise convolutions, pools and dequantize with AVX-512.
#include "kernels/x86/avx512.h"

#include "kernels/kernels.h"
#include "kernels/x86/code_blocks.h"

namespace aqe {
namespace {

struct Decode {
  AQE_TARGET static void block(Type input, const char* from, int count,
                               int16_t* to) {
    __m512i codes;
    if (input == Type::kInt8) {
      codes = _mm512_maskz_loadu_epi8(first_bytes(count), from);
    } else {
      const auto* planes = reinterpret_cast<const uint64_t*>(from);
      __m512i number = _mm512_setzero_si512();
      for (int p = 0; p < bits(input); ++p) {
        number =
            _mm512_mask_add_epi8(number, planes[p], number,
                                 _mm512_set1_epi8(static_cast<char>(1 << p)));
      }
      const __m512i table = _mm512_broadcast_i32x4(
          _mm_load_si128(reinterpret_cast<const __m128i*>(byte_table(input))));
      codes =
          _mm512_sub_epi8(_mm512_shuffle_epi8(table, number),
                          _mm512_set1_epi8(static_cast<char>(raise_of(input))));
    }
    _mm512_storeu_si512(to,
                        _mm512_cvtepi8_epi16(_mm512_castsi512_si256(codes)));
    _mm512_storeu_si512(
        to + kBlock / 2,
        _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(codes, 1)));
  }
};

using Blocks = CodeBlocks<Int32Lanes, FloatLanes, Decode>;

}  // namespace

extern constexpr Kernel kDepthwisePlanesAvx512 =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_avx512", kAvx512);
extern constexpr Kernel kDepthwiseAvx512 =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_avx512", kAvx512);
extern constexpr Kernel kMaxPoolAvx512 =
    max_pool_kernel<Blocks>("max_pool_2d_avx512", kAvx512);
extern constexpr Kernel kAveragePoolAvx512 =
    average_pool_kernel<Blocks>("average_pool_2d_avx512", kAvx512);
extern constexpr Kernel kDequantizeAvx512 =
    dequantize_kernel<Blocks>("dequantize_avx512", kAvx512);

}  // namespace aqe
