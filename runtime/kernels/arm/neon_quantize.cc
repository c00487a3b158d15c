// Quantize with NEON.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_output.h"
#include "kernels/kernels.h"
#include "kernels/loops/quantize.h"

namespace aqe {
namespace {

struct Neon : CopiedParts<Neon> {
  template <class Value>
  static void quantize(const Layer& layer, const void* constants,
                       const Value* values, int64_t step, int pixels, int block,
                       char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    if (step == kBlock || count % neon::kPart == 0) {
      neon::store_pixels(layer, constants, values, step, pixels, block, pixel);
      return;
    }
    // Behind the last pixel nothing may be read.
    Value rows[kQuantizedPixels * kBlock];
    for (int i = 0; i < pixels; ++i)
      std::copy_n(values + i * step, count, rows + i * kBlock);
    neon::store_pixels(layer, constants, rows, kBlock, pixels, block, pixel);
  }
};

}  // namespace

extern constexpr Kernel kQuantizeNeon = {
    "quantize_neon",
    Operator::kQuantize,
    width_set(Type::kFloat32, Type::kInt32),
    width_set(0),
    0,
    kQuantizedPixels,
    16,
    nullptr,
    neon::output_bytes,
    neon::pack_output,
    quantize_scratch_bytes,
    quantize_units,
    run_quantize<Neon>};

}  // namespace aqe
