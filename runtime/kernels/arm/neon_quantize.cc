// Quantize with NEON.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_output.h"
#include "kernels/kernels.h"
#include "kernels/loops/quantize.h"

namespace aqe {
namespace {

struct Neon {
  static void quantize_parts(const Layer& layer, const void* constants,
                             int64_t first, int pixels, int block, float* rows,
                             char* pixel) {
    copy_parts(layer, first, pixels, block, rows);
    quantize(layer, constants, rows, kBlock, pixels, block, pixel);
  }

  template <class Value>
  static void quantize(const Layer& layer, const void* constants,
                       const Value* values, int64_t step, int pixels, int block,
                       char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    const int64_t bytes = pixel_bytes(layer.output, layer.out_channels);
    for (int i = 0; i < pixels; ++i, values += step, pixel += bytes) {
      Value acc[kBlock];
      std::copy_n(values, count, acc);
      std::fill(acc + count, acc + kBlock, Value{0});
      neon::store_pixel(layer, constants, acc, block, pixel);
    }
  }
};

}  // namespace

extern constexpr Kernel kQuantizeNeon = {
    "quantize_neon",
    Operator::kQuantize,
    width_set(Type::kFloat32, Type::kInt32),
    width_set(0),
    0,
    1,
    16,
    nullptr,
    neon::output_bytes,
    neon::pack_output,
    quantize_scratch_bytes,
    quantize_units,
    run_quantize<Neon>};

}  // namespace aqe
