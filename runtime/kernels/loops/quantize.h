// The loop of quantize, pixel by pixel and 64 channels at a time.
// `Method::quantize(layer, constants, values, block, pixel)` writes the codes
// of a block of a pixel, whose values are int32 or float.
#pragma once

#include "keras_aqe/kernel.h"
#include "kernels/loops/blocks.h"

namespace aqe {

template <class Method>
void run_quantize(const Layer& layer, const void* constants, const void* input,
                  void* output, void*, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int64_t first = int64_t{at.block} * kBlock;
    for (int x = 0; x < layer.out_width; ++x) {
      const int64_t pixel = at.first_pixel + x;
      const char* in = pixel_at(layer.input, layer.in_channels, input, pixel);
      char* out = pixel_at(layer.output, layer.out_channels, output, pixel);
      if (layer.input == Type::kInt32) {
        Method::quantize(layer, constants,
                         reinterpret_cast<const int32_t*>(in) + first, at.block,
                         out);
      } else {
        Method::quantize(layer, constants,
                         reinterpret_cast<const float*>(in) + first, at.block,
                         out);
      }
    }
  }
}

}  // namespace aqe
