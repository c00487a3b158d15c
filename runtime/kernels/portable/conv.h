// The loop around the portable convolutions: rows, max pool, output stage. What
// differs is how one position is summed up.
#pragma once

#include "kernels/portable/output.h"

namespace aqe {

inline bool is_inside(int64_t y, int64_t x, int height, int width) {
  return y >= 0 && y < height && x >= 0 && x < width;
}

// `Method::Acc` is the accumulator; `Method::accumulate(layer, constants,
// input, scratch, n, y, x, block, acc)` sums up 64 channels at one position of
// the convolution.
template <class Method>
void run_conv(const Layer& layer, const void* constants, const void* input,
              void* output, void* scratch, int64_t begin, int64_t end) {
  using Acc = typename Method::Acc;
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    for (int x = 0; x < layer.out_width; ++x) {
      Acc best[kBlock] = {};
      if (!layer.has_pool) {
        Method::accumulate(layer, constants, input, scratch, at.batch, at.y, x,
                           at.block, best);
      } else {
        bool is_first = true;
        for (int ky = 0; ky < layer.pool.height; ++ky) {
          for (int kx = 0; kx < layer.pool.width; ++kx) {
            const int conv_y =
                at.y * layer.pool.stride_y - layer.pool.pad_top + ky;
            const int conv_x =
                x * layer.pool.stride_x - layer.pool.pad_left + kx;
            if (!is_inside(conv_y, conv_x, layer.conv_height, layer.conv_width))
              continue;
            Acc acc[kBlock];
            Method::accumulate(layer, constants, input, scratch, at.batch,
                               conv_y, conv_x, at.block, acc);
            for (int i = 0; i < kBlock; ++i)
              best[i] = is_first || acc[i] > best[i] ? acc[i] : best[i];
            is_first = false;
          }
        }
      }
      store_block(layer, best, at.block,
                  pixel_at(layer.output, layer.out_channels, output,
                           at.first_pixel + x));
    }
  }
}

// Calls visit(tap, pixel) for the taps of one position; `pixel` is null where
// the input is padded with a code other than 0.
template <class Visit>
void for_each_tap(const Layer& layer, const void* input, int n, int y, int x,
                  Visit visit) {
  const Window& window = layer.window;
  for (int ky = 0; ky < window.height; ++ky) {
    const int64_t in_y = int64_t{y} * window.stride_y - window.pad_top +
                         int64_t{ky} * window.dilation_y;
    for (int kx = 0; kx < window.width; ++kx) {
      const int64_t in_x = int64_t{x} * window.stride_x - window.pad_left +
                           int64_t{kx} * window.dilation_x;
      const int64_t tap = int64_t{ky} * window.width + kx;
      if (is_inside(in_y, in_x, layer.in_height, layer.in_width)) {
        visit(tap,
              pixel_at(layer.input, layer.in_channels, input,
                       (int64_t{n} * layer.in_height + in_y) * layer.in_width +
                           in_x));
      } else if (layer.pad_value != 0) {
        visit(tap, static_cast<const char*>(nullptr));
      }
    }
  }
}

}  // namespace aqe
