// Patches of the kernels that multiply or shift: codes as bytes, or floats.
//
// A `Set` is an instruction set:
//   copy_words(from, count, to)               so many 32-bit words
//   decode_pixels(type, pixels, step, count, channels, to, to_step)
//                                             the codes of pixels so far apart
//                                             as bytes, and 0 up to a multiple
//                                             of four; may write up to 31 bytes
//                                             more
#pragma once

#include "kernels/loops/blocks.h"
#include "kernels/x86/bytes.h"

namespace aqe {

// Bytes of one pixel in a patch: its codes, or floats.
inline size_t patch_pixel_bytes(const Layer& layer) {
  return layer.float_accumulator() ? layer.in_channels * sizeof(float)
                                   : round_up(layer.in_channels, 4);
}

inline void normalize_pixel(const Layer& layer, const uint8_t* pixel,
                            float* to) {
  for (int c = 0; c < layer.in_channels; ++c) {
    const float scaled = static_cast<float>(pixel[c]) * layer.input_scale[c];
    to[c] = scaled + layer.input_offset[c];
  }
}

// Neighbouring pixels of any input for a patch.
template <class Set>
AQE_TARGET void load_pixels(const Layer& layer, const char* pixels, int count,
                            int64_t bytes, char* to) {
  if (layer.input == Type::kFloat32) {
    Set::copy_words(pixels, bytes / 4, to);
    return;
  }
  const int64_t step = bytes / count;
  const auto to_step = static_cast<int64_t>(patch_pixel_bytes(layer));
  if (layer.input != Type::kUInt8) {
    Set::decode_pixels(layer.input, pixels, step, count, layer.in_channels, to,
                       to_step);
    return;
  }
  for (int i = 0; i < count; ++i, pixels += step, to += to_step) {
    normalize_pixel(layer, reinterpret_cast<const uint8_t*>(pixels),
                    reinterpret_cast<float*>(to));
  }
}

// A pixel of padding.
inline void fill_pad_pixel(const Layer& layer, char* to) {
  for (int c = 0; c < layer.in_channels; ++c) {
    if (layer.float_accumulator()) {
      reinterpret_cast<float*>(to)[c] = static_cast<float>(layer.pad_value);
    } else {
      to[c] = static_cast<char>(layer.pad_value + raise_of(layer.input));
    }
  }
}

}  // namespace aqe
