// Depthwise convolutions of codes with one output for each channel. Rows of the
// input are decoded once, for all positions and taps that see them; what
// remains are products of 16 bits, side by side, which compilers turn into the
// vectors of AQE_TARGET.
//
// A `Method` has
//   decode(layer, pixel, block, codes)   64 codes of a pixel as int16; what
//                                        stands behind the channels does not
//                                        matter
//   store(layer, constants, acc, block, pixel)
//                                        the output stage of 64 sums
#pragma once

#include <algorithm>

#include "keras_aqe/codes.h"
#include "keras_aqe/kernel.h"
#include "kernels/loops/decoded_rows.h"

namespace aqe {

// Constants: weights [block][tap][64] as int16.
inline size_t depthwise_constants_bytes(const Layer& layer) {
  return sizeof(int16_t) * kBlock * block_count(layer.out_channels) *
         layer.weights_per_output();
}

inline void pack_depthwise(const Layer& layer, void* constants) {
  auto* weights = static_cast<int16_t*>(constants);
  const int64_t taps = layer.weights_per_output();
  std::fill_n(weights, depthwise_constants_bytes(layer) / sizeof(int16_t), 0);
  for (int o = 0; o < layer.out_channels; ++o) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      weights[(o / kBlock * taps + tap) * kBlock + o % kBlock] =
          static_cast<int16_t>(weight_code(layer, o, tap));
    }
  }
}

inline bool supports_depthwise(const Layer& layer) {
  return layer.in_channels == layer.out_channels &&
         layer.window.height <= kMostWindowRows;
}

inline DecodedRows depthwise_rows(const Layer& layer) {
  return DecodedRows(layer, 1, sizeof(int16_t) * kBlock);
}

inline size_t depthwise_scratch_bytes(const Layer& layer) {
  return depthwise_rows(layer).bytes();
}

template <class Method>
AQE_TARGET void run_depthwise(const Layer& layer, const void* constants,
                              const void* input, void* output, void* scratch,
                              int64_t begin, int64_t end) {
  const Window& window = layer.window;
  const int blocks = block_count(layer.out_channels);
  DecodedRows decoded = depthwise_rows(layer);
  decoded.start(input, scratch);
  // Rows of outputs below each other come first, since they share rows.
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t y = unit % layer.out_height;
    const int64_t part = unit / layer.out_height;
    const int block = static_cast<int>(part % blocks);
    const int64_t n = part / blocks;
    const auto decode = [&](const char* pixel, char* to) AQE_TARGET {
      auto* codes = reinterpret_cast<int16_t*>(to);
      if (pixel != nullptr) {
        Method::decode(layer, pixel, block, codes);
      } else {
        std::fill_n(codes, kBlock, static_cast<int16_t>(layer.pad_value));
      }
    };
    const int16_t* rows[kMostWindowRows];
    for (int ky = 0; ky < window.height; ++ky) {
      rows[ky] = reinterpret_cast<const int16_t*>(decoded.row(
          part, n, y * window.stride_y + int64_t{ky} * window.dilation_y,
          decode));
    }
    const int16_t* weights = static_cast<const int16_t*>(constants) +
                             block * layer.weights_per_output() * kBlock;
    char* pixel = pixel_at(layer.output, layer.out_channels, output,
                           (n * layer.out_height + y) * layer.out_width);
    for (int x = 0; x < layer.out_width; ++x) {
      alignas(64) int32_t acc[kBlock] = {};
      const int16_t* w = weights;
      for (int ky = 0; ky < window.height; ++ky) {
        const int16_t* codes = rows[ky] + int64_t{x} * window.stride_x * kBlock;
        for (int kx = 0; kx < window.width; ++kx) {
          for (int i = 0; i < kBlock; ++i)
            acc[i] += int32_t{codes[i]} * int32_t{w[i]};
          codes += window.dilation_x * kBlock;
          w += kBlock;
        }
      }
      Method::store(layer, constants, acc, block, pixel);
      pixel += pixel_bytes(layer.output, layer.out_channels);
    }
  }
}

inline int64_t depthwise_units(const Layer& layer) {
  return int64_t{layer.batch} * block_count(layer.out_channels) *
         layer.out_height;
}

template <class Method>
constexpr Kernel depthwise_kernel(const char* name, uint32_t features) {
  return {name,
          Operator::kDepthwiseConv2D,
          kCodeWidths,
          kWeightWidths,
          features,
          1,
          kBlock,
          supports_depthwise,
          depthwise_constants_bytes,
          pack_depthwise,
          depthwise_scratch_bytes,
          depthwise_units,
          run_depthwise<Method>};
}

}  // namespace aqe
