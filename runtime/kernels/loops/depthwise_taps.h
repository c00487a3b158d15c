// The walk of depthwise convolutions over rows whose codes are bytes.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/loops/depthwise.h"

namespace aqe {

constexpr int kMostDepthwiseTaps = 128;
constexpr int kDepthwisePositions = 4;  // at a time

// Whether such a kernel can hold where a layer's taps are.
inline bool has_few_taps(const Layer& layer) {
  return layer.in_channels == layer.out_channels &&
         layer.window.height <= kMostWindowRows &&
         layer.weights_per_output() <= kMostDepthwiseTaps;
}

inline size_t depthwise_bytes_of_rows(const Layer& layer) {
  return DecodedRows(layer, 1, kBlock).bytes();
}

// Calls run_row(taps, block, pixel) for each row and block of outputs of the
// units; taps[i] is where the row's first position has the code of tap i of 64
// channels. The last one is there again up to a multiple of kTogether.
//
// A `Set` has raise(input) and decode(layer, pixels, count, block, to).
template <class Set, int kTogether, class RunRow>
void for_depthwise_rows(const Layer& layer, const void* input, void* output,
                        void* scratch, int64_t begin, int64_t end,
                        const RunRow& run_row) {
  const Window& window = layer.window;
  DecodedRows decoded(layer, 1, kBlock);
  decoded.start(input, scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const DepthwiseUnit own(layer, unit);
    const auto decode = [&](const char* pixels, int64_t count,
                            char* to) AQE_TARGET {
      if (pixels != nullptr) {
        Set::decode(layer, pixels, count, own.block, to);
      } else {
        std::memset(to, layer.pad_value + Set::raise(layer.input),
                    count * kBlock);
      }
    };
    const char* taps[kMostDepthwiseTaps + kTogether - 1];
    const char** tap = taps;
    for (int ky = 0; ky < window.height; ++ky) {
      const char* row = decoded.row(
          own.part, own.n,
          own.y * window.stride_y + int64_t{ky} * window.dilation_y, decode);
      for (int kx = 0; kx < window.width; ++kx, ++tap)
        *tap = row + int64_t{kx} * window.dilation_x * kBlock;
    }
    std::fill_n(tap, kTogether - 1, tap[-1]);
    run_row(taps, own.block,
            pixel_at(layer.output, layer.out_channels, output,
                     (own.n * layer.out_height + own.y) * layer.out_width));
  }
}

}  // namespace aqe
