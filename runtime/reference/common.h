// What the reference operators share: reading one input value, the output stage
// for one value, walking a window.
#pragma once

#include <cstring>

#include "keras_aqe/codes.h"

namespace aqe::reference {

// Input value of a pixel as the accumulator's type.
template <class Acc>
Acc input_value(const Layer& layer, const void* input, int64_t pixel, int c) {
  const char* start = static_cast<const char*>(input) +
                      pixel * pixel_bytes(layer.input, layer.in_channels);
  switch (layer.input) {
    case Type::kFloat32:
      return static_cast<Acc>(reinterpret_cast<const float*>(start)[c]);
    case Type::kInt32:
      return static_cast<Acc>(reinterpret_cast<const int32_t*>(start)[c]);
    case Type::kUInt8: {
      const float scaled =
          static_cast<float>(reinterpret_cast<const uint8_t*>(start)[c]) *
          layer.input_scale[c];
      return static_cast<Acc>(scaled + layer.input_offset[c]);
    }
    default:
      return static_cast<Acc>(load_code(layer.input, start, c));
  }
}

inline void clear_output(const Layer& layer, void* output) {
  for (int q = 0; q < layer.sum.quantizer_count; ++q)
    clear_output(layer.sum.quantizers[q], layer.sum.codes[q]);
  if (layer.sums() && layer.sum.floats == nullptr) return;
  std::memset(
      output, 0,
      layer.out_pixels() * pixel_bytes(layer.output, layer.out_channels));
}

inline bool passes(const Layer& layer, int k, int c, int32_t acc) {
  return layer.direction[c] * acc >=
         layer.thresholds[int64_t{k} * layer.out_channels + c];
}

inline bool passes(const Layer& layer, int k, int c, float acc) {
  return static_cast<float>(layer.direction[c]) * acc >=
         layer.float_thresholds[int64_t{k} * layer.out_channels + c];
}

template <class Acc>
void store(const Layer& layer, void* output, int64_t pixel, int c, Acc acc);

// Behind float output: the sum with the addend, limited, and its codes.
inline void store_sum(const Layer& layer, int64_t pixel, int c, float value) {
  const Sum& sum = layer.sum;
  const int64_t at = pixel * layer.out_channels + c;
  if (sum.has_addend) value = sum.addend[at] + value;
  if (sum.has_limits) value = sum.limit(value);
  if (sum.floats != nullptr) sum.floats[at] = value;
  for (int q = 0; q < sum.quantizer_count; ++q)
    store(sum.quantizers[q], sum.codes[q], pixel, c, value);
}

// The output stage for one accumulator.
template <class Acc>
void store(const Layer& layer, void* output, int64_t pixel, int c, Acc acc) {
  char* start = static_cast<char*>(output) +
                pixel * pixel_bytes(layer.output, layer.out_channels);
  if (layer.scale != nullptr) {
    float real = static_cast<float>(acc);
    if (layer.offset != nullptr) real += layer.offset[c];
    const float scaled = real * layer.scale[c];
    const float value = scaled + layer.bias[c];
    if (layer.rounds()) {
      store_code(layer.output, start, c, nearest_code(value));
    } else if (layer.sums()) {
      store_sum(layer, pixel, c, value);
    } else {
      reinterpret_cast<float*>(start)[c] = value;
    }
  } else if (layer.output == Type::kInt32) {
    reinterpret_cast<int32_t*>(start)[c] = static_cast<int32_t>(acc);
  } else {
    int index = 0;
    for (int k = 0; k < layer.levels(); ++k) index += passes(layer, k, c, acc);
    store_code(layer.output, start, c, output_code(layer, index));
  }
}

// Calls visit(tap, y, x) for the positions of a window placed at output (out_y,
// out_x), row by row, also for those outside the input.
template <class Visit>
void for_each_tap(const Window& window, int out_y, int out_x, Visit visit) {
  for (int ky = 0; ky < window.height; ++ky) {
    for (int kx = 0; kx < window.width; ++kx) {
      visit(int64_t{ky} * window.width + kx,
            int64_t{out_y} * window.stride_y - window.pad_top +
                int64_t{ky} * window.dilation_y,
            int64_t{out_x} * window.stride_x - window.pad_left +
                int64_t{kx} * window.dilation_x);
    }
  }
}

inline bool inside(int64_t y, int64_t x, int height, int width) {
  return y >= 0 && y < height && x >= 0 && x < width;
}

// Calls visit(pixel, n, y, x, c) for every output value.
template <class Visit>
void for_each_output(const Layer& layer, Visit visit) {
  int64_t pixel = 0;
  for (int n = 0; n < layer.batch; ++n) {
    for (int y = 0; y < layer.out_height; ++y) {
      for (int x = 0; x < layer.out_width; ++x, ++pixel) {
        for (int c = 0; c < layer.out_channels; ++c) visit(pixel, n, y, x, c);
      }
    }
  }
}

}  // namespace aqe::reference
