// Images as bytes, where what the format says of floats is true of integers.
//
// With a whole scale and offset for each channel every value, pixel * scale +
// offset, is whole, and so is its product with a code. As long as the
// magnitudes of a sum's terms are not more than 2^24 together, each sum on the
// way is a whole number that a float holds, so that the format's order of
// additions and its roundings change nothing, and the sum is also
//
//   sum(weight * scale * pixel) + sum(weight * offset)
//
// in integers. Max pool, thresholds and scales then see the same numbers. What
// stands for padding is a byte of 0, to whose products the second sum adds the
// offset and lacks the layer's `pad_value`: TapSums take that back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels/loops/tap_sums.h"
#include "kernels/loops/weights.h"

namespace aqe {

inline float greatest_scale(const Layer& layer) {
  float greatest = 0;
  for (int c = 0; c < layer.in_channels; ++c)
    greatest = std::max(greatest, std::abs(layer.input_scale[c]));
  return greatest;
}

inline bool has_one_scale(const Layer& layer) {
  return std::all_of(layer.input_scale, layer.input_scale + layer.in_channels,
                     [&](float scale) { return scale == *layer.input_scale; });
}

// Whether sums of this image are those of integers.
inline bool has_whole_sums(const Layer& layer) {
  constexpr double kMostWhole = 1 << 24;
  const double pad = std::abs(layer.pad_value);
  double most = 0;  // of a tap, with a weight of 1
  for (int c = 0; c < layer.in_channels; ++c) {
    const double scale = layer.input_scale[c], offset = layer.input_offset[c];
    if (scale != std::trunc(scale) || offset != std::trunc(offset))
      return false;
    most += 255 * std::abs(scale) + std::max(std::abs(offset), pad);
  }
  return most * static_cast<double>(window_taps(layer)) *
             max_code(layer.weight_bits) <=
         kMostWhole;
}

// What the sums of each output channel start with, and the TapSums of padding,
// where a byte of 0 stands for the pixel `zero`.
inline void pack_offsets(const Layer& layer, int zero, int32_t* init,
                         int32_t* corners) {
  std::fill_n(init, block_count(layer.out_channels) * kBlock, 0);
  std::fill_n(corners, TapSums::bytes(layer) / sizeof(int32_t), 0);
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    for (int64_t tap = 0; tap < window_taps(layer); ++tap) {
      int32_t& padded = TapSums::at_tap(layer, tap, corners)[o];
      for (int c = 0; c < layer.in_channels; ++c, ++codes) {
        const int value = zero * static_cast<int>(layer.input_scale[c]) +
                          static_cast<int>(layer.input_offset[c]);
        init[o] += *codes * value;
        padded += *codes * (value - layer.pad_value);
      }
    }
  }
  TapSums::integrate(layer, corners);
}

inline size_t threshold_bytes(const Layer& layer) {
  return layer.direction == nullptr
             ? 0
             : sizeof(int32_t) * layer.levels() * layer.out_channels;
}

// The thresholds of whole sums: the least numbers that are not below them.
inline void pack_whole_thresholds(const Layer& layer, int32_t* thresholds) {
  constexpr float kBeyond = 1 << 25;  // any sum
  const size_t count = threshold_bytes(layer) / sizeof(int32_t);
  for (size_t i = 0; i < count; ++i) {
    const float least = std::ceil(layer.float_thresholds[i]);
    thresholds[i] = !(least < kBeyond) ? INT32_MAX  // not a number, either
                    : least < -kBeyond ? INT32_MIN
                                       : static_cast<int32_t>(least);
  }
}

// The layer as its output stage is for whole sums.
inline Layer with_thresholds(const Layer& layer, const int32_t* thresholds) {
  Layer whole = layer;
  whole.float_thresholds = nullptr;
  whole.thresholds = thresholds;
  return whole;
}

}  // namespace aqe
