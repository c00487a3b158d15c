// Quantize with NEON.
#include "kernels/kernels.h"
#include "kernels/neon_output.h"

namespace aqe {
namespace {

template <class Value>
void quantize_block(const Layer& layer, const void* constants,
                    const Value* values, int block, int count, void* pixel) {
  Value acc[kBlock];
  std::copy_n(values, count, acc);
  std::fill(acc + count, acc + kBlock, Value{0});
  neon::store_pixel(layer, constants, acc, block, pixel);
}

void run_quantize(const Layer& layer, const void* constants, const void* input,
                  void* output, void*, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int count = channels_in_block(layer.out_channels, at.block);
    const int first = at.block * kBlock;
    for (int x = 0; x < layer.out_width; ++x) {
      const char* in =
          pixel_at(layer.input, layer.in_channels, input, at.first_pixel + x) +
          int64_t{4} * first;
      char* out = pixel_at(layer.output, layer.out_channels, output,
                           at.first_pixel + x);
      if (layer.input == Type::kInt32) {
        quantize_block(layer, constants, reinterpret_cast<const int32_t*>(in),
                       at.block, count, out);
      } else {
        quantize_block(layer, constants, reinterpret_cast<const float*>(in),
                       at.block, count, out);
      }
    }
  }
}

}  // namespace

extern const Kernel kQuantizeNeon = {"quantize_neon",
                                     Operator::kQuantize,
                                     width_set(Type::kFloat32, Type::kInt32),
                                     width_set(0),
                                     0,
                                     1,
                                     16,
                                     nullptr,
                                     neon::output_bytes,
                                     neon::pack_output,
                                     no_bytes,
                                     row_block_units,
                                     run_quantize};

}  // namespace aqe
