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

struct DepthwiseBytes : Blocks {
  static constexpr int kBytes = aqe::kBytes;
  static constexpr bool kIsInterleaved = true;
  using Bytes = __m512i;

  static int raise(Type input) { return raise_of(input); }
  AQE_TARGET static void decode(const Layer& layer, const char* pixels,
                                int64_t count, int block, char* to) {
    Avx512::decode_pixels(layer.input, block_at(layer.input, pixels, block),
                          pixel_bytes(layer.input, layer.in_channels), count,
                          channels_in_block(layer.in_channels, block), to,
                          kBlock);
  }

  AQE_TARGET static Bytes load(const char* from) {
    return _mm512_load_si512(from);
  }
  struct Weights {
    __m512i low, high;
  };
  AQE_TARGET static Weights load_weights(const char* from) {
    return {load(from), load(from + kBytes)};
  }
  struct Sums {
    __m512i low, high;
  };
  AQE_TARGET static Sums no_sums() {
    return {_mm512_setzero_si512(), _mm512_setzero_si512()};
  }
  AQE_TARGET static void add_pair(Sums* sums, Bytes first, Bytes second,
                                  const Weights& weights) {
    // Compilers would load both twice, and loads are what takes long.
    asm("" : "+v"(first), "+v"(second));
    sums->low = _mm512_add_epi16(
        sums->low,
        _mm512_maddubs_epi16(_mm512_unpacklo_epi8(first, second), weights.low));
    sums->high = _mm512_add_epi16(
        sums->high, _mm512_maddubs_epi16(_mm512_unpackhi_epi8(first, second),
                                         weights.high));
  }
  AQE_TARGET static void store_sums(const Sums& sums, int16_t* to) {
    _mm512_store_si512(to, sums.low);
    _mm512_store_si512(to + kBytes / 2, sums.high);
  }
  AQE_TARGET static Bytes narrow(const Sums& sums, const char* base) {
    return _mm512_min_epu8(
        _mm512_packus_epi16(_mm512_subs_epi16(sums.low, load(base)),
                            _mm512_subs_epi16(sums.high, load(base + kBytes))),
        _mm512_set1_epi8(static_cast<char>(254)));
  }
  AQE_TARGET static uint64_t passes(const Bytes* bytes,
                                    const char* thresholds) {
    return _cvtmask64_u64(_mm512_cmpge_epu8_mask(*bytes, load(thresholds)));
  }
  AQE_TARGET static Bytes all(int code) {
    return _mm512_set1_epi8(static_cast<char>(code));
  }
  AQE_TARGET static Bytes add_passed(Bytes codes, Bytes bytes,
                                     const char* thresholds) {
    return _mm512_mask_add_epi8(codes,
                                _mm512_cmpge_epu8_mask(bytes, load(thresholds)),
                                codes, _mm512_set1_epi8(1));
  }
  AQE_TARGET static void store_bytes(Bytes bytes, int count, char* to) {
    _mm512_mask_storeu_epi8(to, first_bytes(count), bytes);
  }
};

}  // namespace

extern constexpr Kernel kDepthwisePlanesAvx512 =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_avx512", kAvx512);
extern constexpr Kernel kDepthwiseBytesAvx512 =
    depthwise_bytes::BytesKernel<DepthwiseBytes>::kernel(
        "depthwise_conv_2d_bytes_avx512", kAvx512);
extern constexpr Kernel kDepthwiseAvx512 =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_avx512", kAvx512);
extern constexpr Kernel kMaxPoolAvx512 =
    max_pool_kernel<Blocks>("max_pool_2d_avx512", kAvx512);
extern constexpr Kernel kAveragePoolAvx512 =
    average_pool_kernel<Blocks>("average_pool_2d_avx512", kAvx512);
extern constexpr Kernel kDequantizeAvx512 =
    dequantize_kernel<Blocks>("dequantize_avx512", kAvx512);

}  // namespace aqe
