// What padding adds to sums, to be taken back.
#pragma once

#include <algorithm>

#include "kernels/loops/blocks.h"

#ifndef AQE_TARGET
#error "the header of the instruction set comes first"
#endif

namespace aqe {

// Taps of a window, [begin, end) on both axes; empty where end <= begin.
struct Taps {
  int begin_y, end_y, begin_x, end_x;
};

// Taps of one axis from `start` on; the divisions only at the border.
inline int first_inside(int64_t start, int dilation, int taps) {
  if (start >= 0) return 0;
  return static_cast<int>(
      std::min<int64_t>((dilation - 1 - start) / dilation, taps));
}
inline int first_beyond(int64_t start, int dilation, int taps, int size) {
  if (start + int64_t{taps - 1} * dilation < size) return taps;
  return start >= size
             ? 0
             : static_cast<int>((size - start + dilation - 1) / dilation);
}

// Those of the window at this row and column that lie inside the input.
inline Taps taps_inside(const Layer& layer, int64_t top, int64_t left) {
  const Window& window = layer.window;
  return {first_inside(top, window.dilation_y, window.height),
          first_beyond(top, window.dilation_y, window.height, layer.in_height),
          first_inside(left, window.dilation_x, window.width),
          first_beyond(left, window.dilation_x, window.width, layer.in_width)};
}

// What pixels of padding add to the sums of each output channel, as sums over
// the taps above and left of a corner: [y of the corner][x][channels in
// blocks], which is 0 for y = 0 or x = 0.
class TapSums {
 public:
  TapSums() = default;
  TapSums(const Layer& layer, const int32_t* corners)
      : corners_(corners),
        height_(layer.window.height),
        width_(layer.window.width),
        channels_(int64_t{block_count(layer.out_channels)} * kBlock) {}

  static size_t bytes(const Layer& layer) {
    return sizeof(int32_t) * (layer.window.height + 1) *
           (layer.window.width + 1) * block_count(layer.out_channels) * kBlock;
  }

  // Where what a pixel adds at one tap is summed up, before `integrate`.
  static int32_t* at_tap(const Layer& layer, int64_t tap, int32_t* corners) {
    const TapSums sums(layer, corners);
    return corners + sums.corner(tap / sums.width_ + 1, tap % sums.width_ + 1);
  }

  static void integrate(const Layer& layer, int32_t* corners) {
    const TapSums sums(layer, corners);
    for (int64_t y = 1; y <= sums.height_; ++y) {
      for (int64_t x = 1; x <= sums.width_; ++x) {
        for (int64_t c = 0; c < sums.channels_; ++c) {
          corners[sums.corner(y, x) + c] +=
              corners[sums.corner(y - 1, x) + c] +
              corners[sums.corner(y, x - 1) + c] -
              corners[sums.corner(y - 1, x - 1) + c];
        }
      }
    }
  }

  bool are_any() const { return corners_ != nullptr; }
  bool is_needed(const Taps& inside) const {
    return corners_ != nullptr &&
           (inside.begin_y > 0 || inside.end_y < height_ ||
            inside.begin_x > 0 || inside.end_x < width_);
  }

  // Takes back what the taps outside have added to so many sums of a block.
  template <class Method>
  AQE_TARGET void take_back(const Taps& inside, int block, int count,
                            int32_t* acc) const {
    const int32_t* none = corners_ + block * kBlock;
    const int32_t* all = none + corner(height_, width_);
    if (inside.end_y <= inside.begin_y || inside.end_x <= inside.begin_x) {
      Method::combine(none, none, all, none, none, count, acc);
    } else {
      Method::combine(none + corner(inside.end_y, inside.end_x),
                      none + corner(inside.begin_y, inside.begin_x), all,
                      none + corner(inside.begin_y, inside.end_x),
                      none + corner(inside.end_y, inside.begin_x), count, acc);
    }
  }

 private:
  int64_t corner(int64_t y, int64_t x) const {
    return (y * (width_ + 1) + x) * channels_;
  }

  const int32_t* corners_ = nullptr;
  int64_t height_ = 0, width_ = 0, channels_ = 0;
};

}  // namespace aqe
