// Depthwise convolutions in plain C++.
#define AQE_TARGET
#include "kernels/loops/depthwise.h"

#include "kernels/kernels.h"
#include "kernels/portable/output.h"

namespace aqe {
namespace {

struct Rows {
  static void decode(const Layer& layer, const char* pixel, int block,
                     int16_t* codes) {
    int8_t bytes[kBlock] = {};
    load_block(layer.input, pixel, layer.in_channels, block, bytes);
    std::copy_n(bytes, kBlock, codes);
  }
  static void store(const Layer& layer, const void*, const int32_t* acc,
                    int block, char* pixel) {
    store_block(layer, acc, block, pixel);
  }
};

}  // namespace

extern constexpr Kernel kDepthwiseRowsPortable =
    depthwise_kernel<Rows>("depthwise_conv_2d_rows_portable", 0);

}  // namespace aqe
