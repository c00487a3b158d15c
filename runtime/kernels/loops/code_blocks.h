// Average pools and dequantize: 64 codes of a pixel at a time are decoded and
// go through the output stage. A `Method` is one of loops/depthwise.h.
#pragma once

#include <algorithm>

#include "keras_aqe/kernel.h"
#include "kernels/loops/blocks.h"

namespace aqe {

template <class Method>
AQE_TARGET void run_average_pool(const Layer& layer, const void* constants,
                                 const void* input, void* output, void*,
                                 int64_t begin, int64_t end) {
  const Window& window = layer.window;
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int64_t top = int64_t{at.y} * window.stride_y - window.pad_top;
    for (int64_t x = 0; x < layer.out_width; ++x) {
      const int64_t left = x * window.stride_x - window.pad_left;
      alignas(64) int32_t sums[kBlock] = {};
      int count = 0;
      for (int ky = 0; ky < window.height; ++ky) {
        const int64_t in_y = top + int64_t{ky} * window.dilation_y;
        if (in_y < 0 || in_y >= layer.in_height) continue;
        for (int kx = 0; kx < window.width; ++kx) {
          const int64_t in_x = left + int64_t{kx} * window.dilation_x;
          if (in_x < 0 || in_x >= layer.in_width) continue;
          alignas(64) int16_t codes[kBlock];
          Method::decode(layer,
                         pixel_at(layer.input, layer.in_channels, input,
                                  (at.batch * int64_t{layer.in_height} + in_y) *
                                          layer.in_width +
                                      in_x),
                         at.block, codes);
          for (int i = 0; i < kBlock; ++i) sums[i] += codes[i];
          ++count;
        }
      }
      char* pixel = pixel_at(layer.output, layer.out_channels, output,
                             at.first_pixel + x);
      if (layer.scale == nullptr) {
        Method::store(layer, constants, sums, at.block, pixel);
        continue;
      }
      alignas(64) float means[kBlock];
      for (int i = 0; i < kBlock; ++i)
        means[i] = static_cast<float>(sums[i]) / static_cast<float>(count);
      Method::store(layer, constants, means, at.block, pixel);
    }
  }
}

// Whether codes are all that dequantize is asked for.
inline bool keeps_codes(const Layer& layer) {
  return layer.op == Operator::kDequantize && layer.output == Type::kInt8;
}

template <class Method>
AQE_TARGET void run_dequantize(const Layer& layer, const void* constants,
                               const void* input, void* output, void*,
                               int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int count = channels_in_block(layer.out_channels, at.block);
    for (int64_t pixel = at.first_pixel;
         pixel < at.first_pixel + layer.out_width; ++pixel) {
      alignas(64) int16_t codes[kBlock];
      Method::decode(layer,
                     pixel_at(layer.input, layer.in_channels, input, pixel),
                     at.block, codes);
      char* out = pixel_at(layer.output, layer.out_channels, output, pixel);
      if (keeps_codes(layer)) {
        std::copy_n(codes, count,
                    reinterpret_cast<int8_t*>(out) + at.block * kBlock);
        continue;
      }
      alignas(64) int32_t values[kBlock];
      std::copy_n(codes, kBlock, values);
      Method::store(layer, constants, values, at.block, out);
    }
  }
}

template <class Method>
size_t code_block_constants_bytes(const Layer& layer) {
  return keeps_codes(layer) ? 0 : Method::output_bytes(layer);
}

template <class Method>
void pack_code_blocks(const Layer& layer, void* constants) {
  if (!keeps_codes(layer)) Method::pack_output(layer, constants);
}

template <class Method>
constexpr Kernel code_block_kernel(const char* name, Operator op,
                                   uint32_t features,
                                   decltype(Kernel::run) run) {
  return {name,
          op,
          kCodeWidths,
          width_set(0),
          features,
          1,
          kBlock,
          nullptr,
          code_block_constants_bytes<Method>,
          pack_code_blocks<Method>,
          no_bytes,
          row_block_units,
          run};
}

template <class Method>
constexpr Kernel average_pool_kernel(const char* name, uint32_t features) {
  return code_block_kernel<Method>(name, Operator::kAveragePool2D, features,
                                   run_average_pool<Method>);
}

template <class Method>
constexpr Kernel dequantize_kernel(const char* name, uint32_t features) {
  return code_block_kernel<Method>(name, Operator::kDequantize, features,
                                   run_dequantize<Method>);
}

}  // namespace aqe
