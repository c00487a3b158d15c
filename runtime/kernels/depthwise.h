// Depthwise convolutions of codes with one output for each channel. Rows of the
// input are decoded once, for all positions and taps that see them; what
// remains are products of 16 bits, side by side, which compilers turn into the
// vectors of AQE_TARGET.
//
// A `Method` has
//   decode(layer, pixel, block, codes)   64 codes of a pixel as int16; what
//                                        stands behind the channels does not
//                                        matter
//   store(layer, acc, block, pixel)      the output stage of 64 sums
#pragma once

#include <algorithm>

#include "keras_aqe/kernel.h"
#include "kernels/output.h"

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
  return layer.in_channels == layer.out_channels;
}

// The rows of one block that a row of outputs sees, with padding.
struct DecodedRows {
  int64_t rows, columns;

  explicit DecodedRows(const Layer& layer) {
    const Window& window = layer.window;
    rows = int64_t{window.height - 1} * window.dilation_y + 1;
    columns = int64_t{layer.conv_width - 1} * window.stride_x +
              int64_t{window.width - 1} * window.dilation_x + 1;
  }
  // What the rows hold, then the rows.
  size_t keys_bytes() const { return (rows * sizeof(int64_t) + 63) / 64 * 64; }
  size_t bytes() const {
    return keys_bytes() + sizeof(int16_t) * kBlock * rows * columns;
  }
};

inline size_t depthwise_scratch_bytes(const Layer& layer) {
  return DecodedRows(layer).bytes();
}

template <class Method>
AQE_TARGET void decode_row(const Layer& layer, const void* input, int n,
                           int64_t y, int block, int64_t columns,
                           int16_t* codes) {
  const bool is_inside = y >= 0 && y < layer.in_height;
  for (int64_t i = 0; i < columns; ++i, codes += kBlock) {
    const int64_t x = i - layer.window.pad_left;
    if (is_inside && x >= 0 && x < layer.in_width) {
      const int64_t pixel =
          (int64_t{n} * layer.in_height + y) * layer.in_width + x;
      Method::decode(layer,
                     pixel_at(layer.input, layer.in_channels, input, pixel),
                     block, codes);
    } else {
      std::fill_n(codes, kBlock, static_cast<int16_t>(layer.pad_value));
    }
  }
}

template <class Method>
AQE_TARGET void run_depthwise(const Layer& layer, const void* constants,
                              const void* input, void* output, void* scratch,
                              int64_t begin, int64_t end) {
  const Window& window = layer.window;
  const DecodedRows decoded(layer);
  auto* keys = static_cast<int64_t*>(scratch);
  auto* rows = reinterpret_cast<int16_t*>(static_cast<char*>(scratch) +
                                          decoded.keys_bytes());
  std::fill_n(keys, decoded.rows, -1);
  // Rows of outputs below each other come first, since they share rows.
  for (int64_t unit = begin; unit < end; ++unit) {
    const int y = static_cast<int>(unit % layer.out_height);
    const int64_t image = unit / layer.out_height;
    const int blocks = block_count(layer.out_channels);
    const int block = static_cast<int>(image % blocks);
    const int n = static_cast<int>(image / blocks);
    const int64_t top = int64_t{y} * window.stride_y;
    for (int ky = 0; ky < window.height; ++ky) {
      const int64_t row = top + int64_t{ky} * window.dilation_y;
      const int64_t slot = row % decoded.rows;
      const int64_t key = (image << 32) + row;
      if (keys[slot] == key) continue;
      decode_row<Method>(layer, input, n, row - window.pad_top, block,
                         decoded.columns,
                         rows + slot * decoded.columns * kBlock);
      keys[slot] = key;
    }
    const int16_t* weights = static_cast<const int16_t*>(constants) +
                             block * layer.weights_per_output() * kBlock;
    char* pixel =
        pixel_at(layer.output, layer.out_channels, output,
                 (int64_t{n} * layer.out_height + y) * layer.out_width);
    for (int x = 0; x < layer.out_width; ++x) {
      alignas(64) int32_t acc[kBlock] = {};
      const int16_t* w = weights;
      for (int ky = 0; ky < window.height; ++ky) {
        const int64_t slot =
            (top + int64_t{ky} * window.dilation_y) % decoded.rows;
        const int16_t* codes =
            rows +
            (slot * decoded.columns + int64_t{x} * window.stride_x) * kBlock;
        for (int kx = 0; kx < window.width; ++kx) {
          for (int i = 0; i < kBlock; ++i)
            acc[i] += int32_t{codes[i]} * int32_t{w[i]};
          codes += window.dilation_x * kBlock;
          w += kBlock;
        }
      }
      Method::store(layer, acc, block, pixel);
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
          width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3,
                    Type::kPacked4, Type::kInt8),
          width_set(1, 2, 3, 4),
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
