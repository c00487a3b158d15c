// What the NEON kernels on codes share: patches of int8, weights at 1, 2 or 4
// bits each.
#pragma once

#include "kernels/arm/neon.h"

#include <algorithm>

#include "keras_aqe/codes.h"
#include "kernels/arm/neon_output.h"
#include "kernels/loops/weights.h"

namespace aqe::neon {

// of_planes[bits][planes]: the code of every combination of plane bits.
struct Codes {
  int8_t of_planes[5][16] = {};
  constexpr Codes() {
    for (int bits = 1; bits <= 4; ++bits) {
      for (unsigned planes = 0; planes < 1u << bits; ++planes)
        of_planes[bits][planes] =
            static_cast<int8_t>(code_from_planes(bits, planes));
    }
  }
};
inline constexpr Codes kCodes;

// Codes of one 64-channel group of packed activations, or of as many of its
// sixteens as `count` channels need.
inline void unpack_group(const uint64_t* group, int bits, int count,
                         int8_t* to) {
  const int8x16_t codes = vld1q_s8(kCodes.of_planes[bits]);
  const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128,
                            1, 2, 4, 8, 16, 32, 64, 128};
  for (int i = 0; 16 * i < count; ++i) {
    // Bytes 2 i and 2 i + 1 of a word, eight times each.
    const uint8x16_t spread =
        vcombine_u8(vdup_n_u8(static_cast<uint8_t>(2 * i)),
                    vdup_n_u8(static_cast<uint8_t>(2 * i + 1)));
    uint8x16_t planes = vdupq_n_u8(0);
    for (int p = 0; p < bits; ++p) {
      const uint8x16_t word = vreinterpretq_u8_u64(vdupq_n_u64(group[p]));
      const uint8x16_t is_set = vtstq_u8(vqtbl1q_u8(word, spread), place);
      planes = vorrq_u8(
          planes, vandq_u8(is_set, vdupq_n_u8(static_cast<uint8_t>(1 << p))));
    }
    vst1q_s8(to + 16 * i, vqtbl1q_s8(codes, planes));
  }
}

// Patches of codes, int8 [tap][channel]. `Method` says
//   row_bytes(layer)    of a patch, zeros after the last channel
template <class Method>
struct CodePatches : NeonOutput<int32_t> {
  static size_t pixel_bytes(const Layer& layer) { return layer.in_channels; }
  // With room for a whole group after the last channel.
  static size_t patch_bytes(const Layer& layer) {
    return round_up(Method::row_bytes(layer) + kBlock, 64);
  }
  static bool decodes(const Layer& layer) { return layer.input != Type::kInt8; }

  static void load(const Layer& layer, const char* pixels, int count,
                   int64_t bytes, char* to) {
    if (layer.input == Type::kInt8) {
      std::memcpy(to, pixels, bytes);
      return;
    }
    const int planes = bits(layer.input);
    const auto* group = reinterpret_cast<const uint64_t*>(pixels);
    for (int i = 0; i < count; ++i, to += layer.in_channels) {
      for (int c = 0; c < layer.in_channels; c += kBlock, group += planes) {
        unpack_group(group, planes, std::min(layer.in_channels - c, kBlock),
                     reinterpret_cast<int8_t*>(to) + c);
      }
    }
  }

  // A pixel of padding stands before a Method's own constants.
  static size_t pad_bytes(const Layer& layer) {
    return round_up(layer.in_channels, 64);
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return behind_output(layer, constants);
  }
  static void pack_pad_pixel(const Layer& layer, char* constants) {
    std::memset(constants, layer.pad_value, pad_bytes(layer));
  }

  static void finish(const Layer& layer, char* patch) {
    const int64_t filled = layer.weights_per_output();
    std::memset(patch + filled, 0, Method::row_bytes(layer) - filled);
  }
};

// Weights in fields of 1, 2 or 4 bits: a register holds 8 / field vectors of 16
// weights' planes, the first in the lowest bits.
constexpr int field_bits(int weight_bits) {
  return weight_bits <= 2 ? weight_bits : 4;
}

inline void put_field(int field, unsigned planes, int vector, int lane,
                      uint8_t* registers) {
  const int vectors = 8 / field;
  registers[vector / vectors * 16 + lane] |=
      static_cast<uint8_t>(planes << (vector % vectors * field));
}

}  // namespace aqe::neon
