// What the NEON kernels on codes share: input as rows of int8, weights at 1, 2
// or 4 bits each.
#pragma once

#include "kernels/arm/neon_conv.h"

namespace aqe::neon {

// Codes of one 64-channel group of packed activations. `codes`: the code of
// every combination of plane bits.
inline void unpack_group(const uint64_t* group, int bits, int8x16_t codes,
                         int8_t* to) {
  const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128,
                            1, 2, 4, 8, 16, 32, 64, 128};
  for (int i = 0; i < 4; ++i) {
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

inline int8x16_t code_table(int bits) {
  int8_t codes[16] = {};
  for (unsigned planes = 0; planes < 1u << bits; ++planes)
    codes[planes] = static_cast<int8_t>(code_from_planes(bits, planes));
  return vld1q_s8(codes);
}

// The input that one position sees, as int8 [tap][channel], zero where it is
// padded with zero and after the last channel.
class CodeRows {
 public:
  // Scratch; the rows of the input that one row of the convolution sees come
  // first, as int8 with room for a whole group after the last channel.
  static size_t scratch_bytes(const Layer& layer) {
    return layer.input == Type::kInt8
               ? 0
               : aligned(layer.window.height * line_bytes(layer));
  }

  CodeRows(const Layer& layer, const void* input, char* scratch)
      : layer_(layer),
        input_(input),
        lines_(reinterpret_cast<int8_t*>(scratch)) {}

  void start_row(int n, int y) {
    n_ = n;
    y_ = y;
    if (layer_.input == Type::kInt8) return;
    const int8x16_t codes = code_table(bits(layer_.input));
    const int groups = words(layer_.in_channels);
    for (int ky = 0; ky < layer_.window.height; ++ky) {
      const int64_t in_y = row_of_tap(ky);
      if (in_y < 0 || in_y >= layer_.in_height) continue;
      const auto* from = reinterpret_cast<const uint64_t*>(pixel(in_y, 0));
      int8_t* to = lines_ + ky * line_bytes(layer_);
      for (int x = 0; x < layer_.in_width; ++x, to += layer_.in_channels) {
        for (int g = 0; g < groups; ++g, from += bits(layer_.input))
          unpack_group(from, bits(layer_.input), codes, to + g * kBlock);
      }
    }
  }

  // Fills a row of `bytes` bytes.
  void gather(int x, int8_t* row, size_t bytes) const {
    int8_t* to = row;
    for_each_run(layer_, y_, x,
                 [&](int64_t tap, int64_t count, int64_t in_y, int64_t in_x,
                     bool is_inside) {
                   const int64_t run = count * layer_.in_channels;
                   if (!is_inside) {
                     std::memset(to, layer_.pad_value, run);
                   } else if (layer_.input == Type::kInt8) {
                     std::memcpy(to, pixel(in_y, in_x), run);
                   } else {
                     const int64_t line = tap / layer_.window.width;
                     std::memcpy(to,
                                 lines_ + line * line_bytes(layer_) +
                                     in_x * layer_.in_channels,
                                 run);
                   }
                   to += run;
                 });
    std::memset(to, 0, bytes - (to - row));
  }

 private:
  static size_t line_bytes(const Layer& layer) {
    return size_t{1} * layer.in_width * layer.in_channels + kBlock;
  }

  int64_t row_of_tap(int ky) const {
    return int64_t{y_} * layer_.window.stride_y - layer_.window.pad_top +
           int64_t{ky} * layer_.window.dilation_y;
  }

  const char* pixel(int64_t y, int64_t x) const {
    return pixel_at(layer_.input, layer_.in_channels, input_,
                    (int64_t{n_} * layer_.in_height + y) * layer_.in_width + x);
  }

  const Layer& layer_;
  const void* input_;
  int8_t* lines_;
  int n_ = 0, y_ = 0;
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
