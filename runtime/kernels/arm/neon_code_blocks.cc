// Depthwise convolutions, pools and dequantize with NEON.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_codes.h"
#include "kernels/kernels.h"
#include "kernels/loops/code_blocks.h"
#include "kernels/loops/depthwise.h"
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
    const int count = channels_in_block(layer.in_channels, block);
    alignas(16) int8_t bytes[kBlock] = {};
    if (layer.input == Type::kInt8) {
      std::memcpy(bytes, pixel + int64_t{block} * kBlock, count);
    } else {
      const int planes = bits(layer.input);
      neon::unpack_group(
          reinterpret_cast<const uint64_t*>(pixel) + int64_t{block} * planes,
          planes, count, bytes);
    }
    std::copy_n(bytes, kBlock, codes);
  }

  template <class Acc>
  static void store(const Layer& layer, const void* constants,
                    const Acc* values, int block, char* pixel) {
    neon::store_pixel(layer, constants, values, block, pixel);
  }
};

}  // namespace

extern constexpr Kernel kDepthwisePlanesNeon =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_neon", 0);
extern constexpr Kernel kDepthwiseNeon =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_neon", 0);
extern constexpr Kernel kMaxPoolNeon =
    max_pool_kernel<Blocks>("max_pool_2d_neon", 0);
extern constexpr Kernel kAveragePoolNeon =
    average_pool_kernel<Blocks>("average_pool_2d_neon", 0);
extern constexpr Kernel kDequantizeNeon =
    dequantize_kernel<Blocks>("dequantize_neon", 0);

}  // namespace aqe
