// Depthwise convolutions, pools and dequantize with NEON.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_codes.h"
#include "kernels/kernels.h"
#include "kernels/loops/code_blocks.h"
#include "kernels/loops/depthwise.h"
#include "kernels/loops/depthwise_bytes.h"
#include "kernels/loops/depthwise_dot.h"
#include "kernels/loops/depthwise_planes.h"
#include "kernels/loops/max_pool.h"

namespace aqe {
namespace {

struct Blocks {
  static constexpr int kVectorBytes = 16;

  static size_t output_bytes(const Layer& layer) {
    return neon::output_bytes(layer);
  }
  static void pack_output(const Layer& layer, void* constants) {
    neon::pack_output(layer, constants);
  }

  static void decode(const Layer& layer, const char* pixel, int block,
                     int16_t* codes) {
    alignas(16) int8_t bytes[kBlock] = {};
    decode_bytes(layer, pixel, block, bytes);
    std::copy_n(bytes, kBlock, codes);
  }
  static void decode_bytes(const Layer& layer, const char* pixel, int block,
                           int8_t* bytes) {
    const int count = channels_in_block(layer.in_channels, block);
    if (layer.input == Type::kInt8) {
      std::memcpy(bytes, pixel + int64_t{block} * kBlock, count);
    } else {
      const int planes = bits(layer.input);
      neon::unpack_group(
          reinterpret_cast<const uint64_t*>(pixel) + int64_t{block} * planes,
          planes, count, bytes);
    }
  }

  template <class Acc>
  static void store(const Layer& layer, const void* constants,
                    const Acc* values, int block, char* pixel) {
    neon::store_pixels(layer, constants, values, kBlock, 1, block, pixel);
  }
};

// Registers of codes as int8.
struct DepthwiseCodes : Blocks {
  static constexpr int kBytes = 16;
  static constexpr bool kIsInterleaved = false;

  static int raise(Type) { return 0; }
  static void decode(const Layer& layer, const char* pixels, int64_t count,
                     int block, char* to) {
    for (; count > 0; --count, to += kBlock) {
      decode_bytes(layer, pixels, block, reinterpret_cast<int8_t*>(to));
      pixels += pixel_bytes(layer.input, layer.in_channels);
    }
  }

  static int8x16_t load(const char* from) {
    return vld1q_s8(reinterpret_cast<const int8_t*>(from));
  }
};

struct DepthwiseBytes : DepthwiseCodes {
  using Bytes = uint8x16_t;

  struct Weights {
    int8x16_t first, second;
  };
  static Weights load_weights(const char* from) {
    return {load(from), load(from + kBytes)};
  }
  struct Sums {
    int16x8_t low, high;
  };
  static Sums no_sums() { return {vdupq_n_s16(0), vdupq_n_s16(0)}; }
  static void add_pair(Sums* sums, int8x16_t first, int8x16_t second,
                       const Weights& weights) {
    add(sums, first, weights.first);
    add(sums, second, weights.second);
  }
  static void store_sums(const Sums& sums, int16_t* to) {
    vst1q_s16(to, sums.low);
    vst1q_s16(to + 8, sums.high);
  }
  static Bytes narrow(const Sums& sums, const char* base) {
    const auto* bases = reinterpret_cast<const int16_t*>(base);
    const uint8x8_t low = vqmovun_s16(vqsubq_s16(sums.low, vld1q_s16(bases)));
    return vminq_u8(
        vqmovun_high_s16(low, vqsubq_s16(sums.high, vld1q_s16(bases + 8))),
        vdupq_n_u8(254));
  }
  static uint64_t passes(const Bytes* bytes, const char* thresholds) {
    const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128,
                              1, 2, 4, 8, 16, 32, 64, 128};
    Bytes passed[4];
    for (int i = 0; i < 4; ++i) {
      passed[i] = vandq_u8(at_least(bytes[i], thresholds + i * kBytes), place);
    }
    const Bytes sums = vpaddq_u8(vpaddq_u8(passed[0], passed[1]),
                                 vpaddq_u8(passed[2], passed[3]));
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0);
  }
  static Bytes all(int code) { return vdupq_n_u8(static_cast<uint8_t>(code)); }
  static Bytes add_passed(Bytes codes, Bytes bytes, const char* thresholds) {
    return vsubq_u8(codes, at_least(bytes, thresholds));
  }
  static void store_bytes(Bytes bytes, int count, char* to) {
    uint8_t all[kBytes];
    vst1q_u8(all, bytes);
    std::memcpy(to, all, count);
  }

 private:
  static void add(Sums* sums, int8x16_t codes, int8x16_t weights) {
    sums->low = vmlal_s8(sums->low, vget_low_s8(codes), vget_low_s8(weights));
    sums->high = vmlal_high_s8(sums->high, codes, weights);
  }
  static Bytes at_least(Bytes bytes, const char* thresholds) {
    return vcgeq_u8(bytes,
                    vld1q_u8(reinterpret_cast<const uint8_t*>(thresholds)));
  }
};

struct DepthwiseDot : DepthwiseCodes {
  struct Weights {
    int8x16_t of[4];
  };
  static Weights load_weights(const char* from) {
    return {{load(from), load(from + kBytes), load(from + 2 * kBytes),
             load(from + 3 * kBytes)}};
  }
  struct Sums {
    int32x4_t of[4];
  };
  static Sums load_sums(const int32_t* from) {
    return {{vld1q_s32(from), vld1q_s32(from + 4), vld1q_s32(from + 8),
             vld1q_s32(from + 12)}};
  }
  // 16 bits hold two products: 2 * 128 * 64 < 2^15.
  template <int>
  static void add_four(Sums* sums, int8x16_t a, int8x16_t b, int8x16_t c,
                       int8x16_t d, const Weights& weights) {
    add_two(sums, a, b, weights.of[0], weights.of[1]);
    add_two(sums, c, d, weights.of[2], weights.of[3]);
  }
  static void store_sums(const Sums& sums, int32_t* to) {
    for (int i = 0; i < 4; ++i) vst1q_s32(to + 4 * i, sums.of[i]);
  }
  static void store_pixels(const Layer& layer, const void* constants,
                           const int32_t* sums, int count, int block,
                           char* pixel) {
    neon::NeonOutput<int32_t>::store_pixels(layer, constants, sums, count,
                                            block, pixel);
  }

 private:
  static void add_two(Sums* sums, int8x16_t a, int8x16_t b, int8x16_t for_a,
                      int8x16_t for_b) {
    const int16x8_t low = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(for_a)),
                                   vget_low_s8(b), vget_low_s8(for_b));
    const int16x8_t high = vmlal_high_s8(vmull_high_s8(a, for_a), b, for_b);
    sums->of[0] = vaddw_s16(sums->of[0], vget_low_s16(low));
    sums->of[1] = vaddw_high_s16(sums->of[1], low);
    sums->of[2] = vaddw_s16(sums->of[2], vget_low_s16(high));
    sums->of[3] = vaddw_high_s16(sums->of[3], high);
  }
};

}  // namespace

extern constexpr Kernel kDepthwisePlanesNeon =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_neon", 0);
extern constexpr Kernel kDepthwiseBytesNeon =
    depthwise_bytes::BytesKernel<DepthwiseBytes>::kernel(
        "depthwise_conv_2d_bytes_neon", 0);
extern constexpr Kernel kDepthwiseDotNeon =
    depthwise_dot::DotKernel<DepthwiseDot>::kernel("depthwise_conv_2d_dot_neon",
                                                   0);
extern constexpr Kernel kDepthwiseNeon =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_neon", 0);
extern constexpr Kernel kMaxPoolNeon =
    max_pool_kernel<Blocks>("max_pool_2d_neon", 0);
extern constexpr Kernel kAveragePoolNeon =
    average_pool_kernel<Blocks>("average_pool_2d_neon", 0);
extern constexpr Kernel kDequantizeNeon =
    dequantize_kernel<Blocks>("dequantize_neon", 0);

}  // namespace aqe
