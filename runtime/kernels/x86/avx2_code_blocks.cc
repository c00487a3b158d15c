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

struct DepthwiseBytes : Blocks {
  static constexpr int kBytes = aqe::kBytes;
  static constexpr bool kIsInterleaved = true;
  using Bytes = __m256i;

  static int raise(Type input) { return raise_of(input); }
  AQE_TARGET static void decode(const Layer& layer, const char* pixels,
                                int64_t count, int block, char* to) {
    Avx2::decode_pixels(layer.input, block_at(layer.input, pixels, block),
                        pixel_bytes(layer.input, layer.in_channels), count,
                        channels_in_block(layer.in_channels, block), to,
                        kBlock);
  }

  AQE_TARGET static Bytes load(const char* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
  }
  struct Weights {
    __m256i low, high;
  };
  AQE_TARGET static Weights load_weights(const char* from) {
    return {load(from), load(from + kBytes)};
  }
  struct Sums {
    __m256i low, high;
  };
  AQE_TARGET static Sums no_sums() {
    return {_mm256_setzero_si256(), _mm256_setzero_si256()};
  }
  AQE_TARGET static void add_pair(Sums* sums, Bytes first, Bytes second,
                                  const Weights& weights) {
    sums->low = _mm256_add_epi16(
        sums->low,
        _mm256_maddubs_epi16(_mm256_unpacklo_epi8(first, second), weights.low));
    sums->high = _mm256_add_epi16(
        sums->high, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(first, second),
                                         weights.high));
  }
  AQE_TARGET static void store_sums(const Sums& sums, int16_t* to) {
    store_bytes(sums.low, kBytes, reinterpret_cast<char*>(to));
    store_bytes(sums.high, kBytes, reinterpret_cast<char*>(to + kBytes / 2));
  }
  AQE_TARGET static Bytes narrow(const Sums& sums, const char* base) {
    return _mm256_min_epu8(
        _mm256_packus_epi16(_mm256_subs_epi16(sums.low, load(base)),
                            _mm256_subs_epi16(sums.high, load(base + kBytes))),
        _mm256_set1_epi8(static_cast<char>(254)));
  }
  AQE_TARGET static uint64_t passes(const Bytes* bytes,
                                    const char* thresholds) {
    const auto half = [&](int r) AQE_TARGET {
      return static_cast<uint32_t>(_mm256_movemask_epi8(
          at_least(bytes[r], load(thresholds + r * kBytes))));
    };
    return half(0) | uint64_t{half(1)} << kBytes;
  }
  AQE_TARGET static Bytes all(int code) {
    return _mm256_set1_epi8(static_cast<char>(code));
  }
  AQE_TARGET static Bytes add_passed(Bytes codes, Bytes bytes,
                                     const char* thresholds) {
    return _mm256_sub_epi8(codes, at_least(bytes, load(thresholds)));
  }
  AQE_TARGET static void store_bytes(Bytes bytes, int count, char* to) {
    if (count == kBytes) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
      return;
    }
    alignas(32) char all[kBytes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(all), bytes);
    std::memcpy(to, all, count);
  }

 private:
  AQE_TARGET static Bytes at_least(Bytes bytes, Bytes thresholds) {
    return _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, thresholds), bytes);
  }
};

}  // namespace

extern constexpr Kernel kDepthwisePlanesAvx2 =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_avx2", kAvx2);
extern constexpr Kernel kDepthwiseBytesAvx2 =
    depthwise_bytes::BytesKernel<DepthwiseBytes>::kernel(
        "depthwise_conv_2d_bytes_avx2", kAvx2);
extern constexpr Kernel kDepthwiseAvx2 =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_avx2", kAvx2);
extern constexpr Kernel kMaxPoolAvx2 =
    max_pool_kernel<Blocks>("max_pool_2d_avx2", kAvx2);
extern constexpr Kernel kAveragePoolAvx2 =
    average_pool_kernel<Blocks>("average_pool_2d_avx2", kAvx2);
extern constexpr Kernel kDequantizeAvx2 =
    dequantize_kernel<Blocks>("dequantize_avx2", kAvx2);

}  // namespace aqe
