// What the kernels that multiply or shift bytes share on x86: how codes become
// bytes of a patch.
//
// A `Set` is an instruction set:
//   copy_words(from, count, to)               so many 32-bit words
//   decode_pixel(type, pixel, channels, to)   its codes as bytes, and 0 up to a
//                                             multiple of four; may write up to
//                                             31 bytes more
#pragma once

#include "kernels/loops/tiles.h"

namespace aqe {

// Bytes of one pixel in a patch: its codes, or floats.
inline size_t patch_pixel_bytes(const Layer& layer) {
  return layer.float_accumulator() ? layer.in_channels * sizeof(float)
                                   : round_up(layer.in_channels, 4);
}

// What is added to a code to make it a byte without sign, as the instructions
// want their first operand. The sums then hold that times the sum of the
// weights too much.
inline int raise_of(Type input) { return max_code(bits(input)); }

// What the sums start with to make up for that. It wraps around as the sums do;
// the result lies within 32 bits.
inline int32_t take_back(Type input, int64_t sum_of_weights) {
  return static_cast<int32_t>(
      static_cast<uint32_t>(-raise_of(input) * sum_of_weights));
}

// bytes[planes] is the byte of a packed code.
struct ByteTable {
  alignas(16) char bytes[16] = {};

  explicit constexpr ByteTable(int bits) {
    for (int i = 0; i < 1 << bits; ++i)
      bytes[i] = static_cast<char>(code_from_planes(bits, i) + max_code(bits));
  }
};
inline constexpr ByteTable kByteTables[] = {ByteTable(1), ByteTable(2),
                                            ByteTable(3), ByteTable(4)};

inline const char* byte_table(Type packed) {
  return kByteTables[bits(packed) - 1].bytes;
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
  for (int i = 0; i < count;
       ++i, pixels += step, to += patch_pixel_bytes(layer)) {
    if (layer.input == Type::kUInt8) {
      normalize_pixel(layer, reinterpret_cast<const uint8_t*>(pixels),
                      reinterpret_cast<float*>(to));
    } else {
      Set::decode_pixel(layer.input, pixels, layer.in_channels, to);
    }
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
