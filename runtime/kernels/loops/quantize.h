// The loop of quantize: 64 channels of many pixels at a time.
// `Method::quantize(layer, constants, values, pixels, block, pixel)` writes the
// codes of a block of so many pixels side by side; `values`, int32 or float,
// are those of the first.
#pragma once

#include <algorithm>

#include "keras_aqe/kernel.h"
#include "kernels/loops/blocks.h"

namespace aqe {

constexpr int kQuantizedPixels = 64;  // of a unit

inline int64_t quantize_units(const Layer& layer) {
  return (layer.out_pixels() + kQuantizedPixels - 1) / kQuantizedPixels *
         block_count(layer.out_channels);
}

template <class Method>
void run_quantize(const Layer& layer, const void* constants, const void* input,
                  void* output, void*, int64_t begin, int64_t end) {
  const int blocks = block_count(layer.out_channels);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int block = static_cast<int>(unit % blocks);
    const int64_t first = unit / blocks * kQuantizedPixels;
    const int pixels = static_cast<int>(
        std::min<int64_t>(kQuantizedPixels, layer.out_pixels() - first));
    const char* in = pixel_at(layer.input, layer.in_channels, input, first);
    char* out = pixel_at(layer.output, layer.out_channels, output, first);
    if (layer.input == Type::kInt32) {
      Method::quantize(layer, constants,
                       reinterpret_cast<const int32_t*>(in) + block * kBlock,
                       pixels, block, out);
    } else {
      Method::quantize(layer, constants,
                       reinterpret_cast<const float*>(in) + block * kBlock,
                       pixels, block, out);
    }
  }
}

}  // namespace aqe
