// Depthwise convolutions, pools, quantize and dequantize in plain C++.
#define AQE_TARGET
#include "kernels/loops/code_blocks.h"

#include "kernels/kernels.h"
#include "kernels/loops/depthwise.h"
#include "kernels/loops/depthwise_planes.h"
#include "kernels/loops/max_pool.h"
#include "kernels/loops/quantize.h"
#include "kernels/portable/output.h"

namespace aqe {
namespace {

struct Blocks : CopiedParts<Blocks> {
  static constexpr int kVectorBytes = 16;

  static size_t output_bytes(const Layer&) { return 0; }
  static void pack_output(const Layer&, void*) {}

  static void decode(const Layer& layer, const char* pixel, int block,
                     int16_t* codes) {
    int8_t bytes[kBlock] = {};
    load_block(layer.input, pixel, layer.in_channels, block, bytes);
    std::copy_n(bytes, kBlock, codes);
  }

  template <class Acc>
  static void store(const Layer& layer, const void*, const Acc* values,
                    int block, char* pixel) {
    store_block(layer, values, block, pixel);
  }

  template <class Value>
  static void quantize(const Layer& layer, const void* constants,
                       const Value* values, int64_t step, int pixels, int block,
                       char* pixel) {
    const int64_t bytes = pixel_bytes(layer.output, layer.out_channels);
    for (int i = 0; i < pixels; ++i, values += step, pixel += bytes)
      store(layer, constants, values, block, pixel);
  }
};

}  // namespace

extern constexpr Kernel kDepthwisePlanesPortable =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_portable", 0);
extern constexpr Kernel kDepthwiseRowsPortable =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_portable", 0);
extern constexpr Kernel kMaxPoolPortable =
    max_pool_kernel<Blocks>("max_pool_2d_portable", 0);
extern constexpr Kernel kAveragePoolPortable =
    average_pool_kernel<Blocks>("average_pool_2d_portable", 0);
extern constexpr Kernel kDequantizePortable =
    dequantize_kernel<Blocks>("dequantize_portable", 0);
extern constexpr Kernel kQuantizePortable = {
    "quantize_portable",
    Operator::kQuantize,
    width_set(Type::kFloat32, Type::kInt32),
    width_set(0),
    0,
    kQuantizedPixels,
    kBlock,
    nullptr,
    no_bytes,
    no_constants,
    quantize_scratch_bytes,
    quantize_units,
    run_quantize<Blocks>};

}  // namespace aqe
