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

// Codes from bytes of ones where a plane's bit is set.
template <int kBits>
int8x16_t codes_of_planes(const uint8x16_t (&is_set)[kBits], int8x16_t table) {
  if constexpr (kBits == 1) {
    return vreinterpretq_s8_u8(vorrq_u8(is_set[0], vdupq_n_u8(1)));
  } else if constexpr (kBits == 2) {
    const uint8x16_t sign = vorrq_u8(is_set[1], vdupq_n_u8(1));
    return vreinterpretq_s8_u8(vandq_u8(is_set[0], sign));
  } else {
    uint8x16_t planes = vsliq_n_u8(is_set[0], is_set[1], 1);
    planes = vsliq_n_u8(planes, is_set[2], 2);
    if constexpr (kBits == 4) planes = vsliq_n_u8(planes, is_set[3], 3);
    return vqtbl1q_s8(table, vandq_u8(planes, vdupq_n_u8((1 << kBits) - 1)));
  }
}

template <int kBits>
void unpack_planes(const uint64_t* group, int count, int8_t* to) {
  const int8x16_t table = vld1q_s8(kCodes.of_planes[kBits]);
  const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128,
                            1, 2, 4, 8, 16, 32, 64, 128};
  // Bytes 2 i and 2 i + 1 of a word, eight times each.
  uint8x16_t spread = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  uint8x16_t words[kBits];
  for (int p = 0; p < kBits; ++p)
    words[p] = vreinterpretq_u8_u64(vdupq_n_u64(group[p]));
  for (; count > 0; count -= 16, to += 16) {
    uint8x16_t is_set[kBits];
    for (int p = 0; p < kBits; ++p)
      is_set[p] = vtstq_u8(vqtbl1q_u8(words[p], spread), place);
    vst1q_s8(to, codes_of_planes<kBits>(is_set, table));
    spread = vaddq_u8(spread, vdupq_n_u8(2));
  }
}

// Codes of one 64-channel group of packed activations, or of as many of its
// sixteens as `count` channels need.
inline void unpack_group(const uint64_t* group, int bits, int count,
                         int8_t* to) {
  switch (bits) {
    case 1:
      return unpack_planes<1>(group, count, to);
    case 2:
      return unpack_planes<2>(group, count, to);
    case 3:
      return unpack_planes<3>(group, count, to);
    default:
      return unpack_planes<4>(group, count, to);
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
    const int64_t end = Method::row_bytes(layer);
    for (int64_t i = layer.weights_per_output(); i < end; i += 16)
      vst1q_s8(reinterpret_cast<int8_t*>(patch) + i, vdupq_n_s8(0));
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
