// Copies windows of the input to patches.
#pragma once

#include <algorithm>

#include "kernels/loops/tap_sums.h"
#include "kernels/loops/tiling.h"

#ifndef AQE_TARGET
#error "the header of the instruction set comes first"
#endif

namespace aqe {

// Copies the windows of a layer's positions.
template <class Method>
class Gather {
 public:
  Gather(const Layer& layer, const void* constants, const void* input)
      : layer_(layer),
        window_(layer.window),
        constants_(constants),
        input_(static_cast<const char*>(input)),
        in_step_(aqe::pixel_bytes(layer.input, layer.in_channels)),
        step_(Method::pixel_bytes(layer)),
        patch_bytes_(Method::patch_bytes(layer)),
        in_row_(layer.in_width * in_step_),
        row_(window_.width * step_),
        extent_y_((window_.height - 1) * int64_t{window_.dilation_y} + 1),
        extent_x_((window_.width - 1) * int64_t{window_.dilation_x} + 1),
        shared_(
            Method::decodes(layer) && window_.stride_x % window_.dilation_x == 0
                ? std::max(
                      window_.width - window_.stride_x / window_.dilation_x, 0)
                : 0) {}

  // Returns the taps that lie inside the input. Where the patch in front is
  // the left neighbour's and decoding takes longer than copying, the columns of
  // the window that both have come from there.
  AQE_TARGET Taps copy(const Position& at, bool has_left, char* patch) const {
    const int first = has_left ? shared_ : 0;
    const int64_t top = int64_t{at.y} * window_.stride_y - window_.pad_top;
    const int64_t left = int64_t{at.x} * window_.stride_x - window_.pad_left;
    if (top < 0 || top + extent_y_ > layer_.in_height || left < 0 ||
        left + extent_x_ > layer_.in_width)
      return copy_part(at.n, top, left, first, patch);
    int64_t from =
        offset(at.n, top, left + int64_t{first} * window_.dilation_x);
    for (int ky = 0; ky < window_.height; ++ky) {
      copy_shared(first, patch);
      copy_row(input_ + from, window_.width - first, patch + first * step_);
      from += window_.dilation_y * in_row_;
      patch += row_;
    }
    return {0, window_.height, 0, window_.width};
  }

 private:
  AQE_TARGET __attribute__((noinline)) Taps copy_part(int n, int64_t top,
                                                      int64_t left, int first,
                                                      char* patch) const {
    const Taps taps = taps_inside(layer_, top, left);
    const int begin = std::max(taps.begin_x, first);
    const int end = std::max(taps.end_x, begin);
    int64_t from = offset(n, top, left + int64_t{begin} * window_.dilation_x);
    for (int ky = 0; ky < window_.height; ++ky) {
      copy_shared(first, patch);
      if (ky < taps.begin_y || ky >= taps.end_y || begin == end) {
        pad(window_.width - first, patch + first * step_);
      } else {
        pad(begin - first, patch + first * step_);
        copy_row(input_ + from, end - begin, patch + begin * step_);
        pad(window_.width - end, patch + end * step_);
      }
      from += window_.dilation_y * in_row_;
      patch += row_;
    }
    return taps;
  }

  int64_t offset(int n, int64_t y, int64_t x) const {
    return (int64_t{n} * layer_.in_height + y) * in_row_ + x * in_step_;
  }

  // The first columns of a row of the patch, from the patch in front.
  AQE_TARGET void copy_shared(int columns, char* to) const {
    if (columns == 0) return;
    Method::Set::copy_words(
        to - patch_bytes_ + (window_.width - columns) * step_,
        (columns * step_ + 3) / 4, to);
  }

  AQE_TARGET void copy_row(const char* pixels, int count, char* to) const {
    if (window_.dilation_x == 1) {
      Method::load(layer_, pixels, count, count * in_step_, to);
      return;
    }
    for (int i = 0; i < count; ++i) {
      Method::load(layer_, pixels, 1, in_step_, to);
      pixels += window_.dilation_x * in_step_;
      to += step_;
    }
  }

  AQE_TARGET void pad(int count, char* to) const {
    const char* pixel = Method::pad_pixel(layer_, constants_);
    for (int i = 0; i < count; ++i, to += step_)
      Method::Set::copy_words(pixel, (step_ + 3) / 4, to);
  }

  const Layer& layer_;
  const Window& window_;
  const void* constants_;
  const char* input_;
  int64_t in_step_, step_;  // bytes of a pixel, of a patch's pixel
  int64_t patch_bytes_;
  int64_t in_row_, row_;  // of a row
  int64_t extent_y_, extent_x_;
  int shared_;  // columns of a window that its left neighbour has as well
};

}  // namespace aqe
