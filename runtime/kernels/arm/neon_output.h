// The output stage of the NEON kernels: 64 channels of one pixel.
#pragma once

#include "kernels/arm/neon.h"

#include <algorithm>
#include <type_traits>

#include "keras_aqe/codes.h"
#include "kernels/loops/tiles.h"

namespace aqe::neon {

// Constants: for each block of 64 channels the rows below, of 64 numbers each,
// so that every load is whole. Codes: the thresholds, then what turns an
// accumulator whose direction is -1. Float, or codes by rounding: scale, bias,
// offset.
inline int output_rows(const Layer& layer) {
  return layer.scale != nullptr  ? 3
         : is_code(layer.output) ? layer.levels() + 1
                                 : 0;
}

inline size_t own_output_bytes(const Layer& layer) {
  return size_t{4} * kBlock * block_count(layer.out_channels) *
         output_rows(layer);
}

// With those of a sum's quantizers, which come behind.
inline size_t output_bytes(const Layer& layer) {
  size_t bytes = own_output_bytes(layer);
  for (int q = 0; q < layer.sum.quantizer_count; ++q)
    bytes += own_output_bytes(layer.sum.quantizers[q]);
  return bytes;
}

inline void pack_output(const Layer& layer, void* constants) {
  char* behind = static_cast<char*>(constants) + own_output_bytes(layer);
  for (int q = 0; q < layer.sum.quantizer_count; ++q) {
    pack_output(layer.sum.quantizers[q], behind);
    behind += own_output_bytes(layer.sum.quantizers[q]);
  }
  std::memset(constants, 0, own_output_bytes(layer));
  const int rows = output_rows(layer);
  const auto put = [&](int row, const auto* values) {
    for (int o = 0; o < layer.out_channels; ++o) {
      std::memcpy(
          static_cast<char*>(constants) +
              4 * ((int64_t{o / kBlock} * rows + row) * kBlock + o % kBlock),
          values + o, 4);
    }
  };
  if (layer.scale != nullptr) {
    put(0, layer.scale);
    put(1, layer.bias);
    if (layer.offset != nullptr) put(2, layer.offset);
  } else if (is_code(layer.output)) {
    for (int k = 0; k < rows - 1; ++k) {
      const int64_t first = int64_t{k} * layer.out_channels;
      if (layer.float_thresholds != nullptr) {
        put(k, layer.float_thresholds + first);
      } else {
        put(k, layer.thresholds + first);
      }
    }
    const bool is_float = layer.float_thresholds != nullptr;
    for (int o = 0; o < layer.out_channels; ++o) {
      static_cast<uint32_t*>(
          constants)[(int64_t{o / kBlock} * rows + rows - 1) * kBlock +
                     o % kBlock] = layer.direction[o] > 0 ? 0
                                   : is_float             ? 1u << 31
                                                          : ~0u;
    }
  }
}

// acc or -acc, by a mask of pack_output.
inline int32x4_t turn(int32x4_t acc, const uint32_t* mask) {
  const int32x4_t m = vreinterpretq_s32_u32(vld1q_u32(mask));
  return vsubq_s32(veorq_s32(acc, m), m);
}
inline float32x4_t turn(float32x4_t acc, const uint32_t* mask) {
  return vreinterpretq_f32_u32(
      veorq_u32(vreinterpretq_u32_f32(acc), vld1q_u32(mask)));
}

inline uint32x4_t passes(int32x4_t acc, const uint32_t* threshold) {
  return vcgeq_s32(acc, vreinterpretq_s32_u32(vld1q_u32(threshold)));
}
inline uint32x4_t passes(float32x4_t acc, const uint32_t* threshold) {
  return vcgeq_f32(acc, vreinterpretq_f32_u32(vld1q_u32(threshold)));
}

// For 16 channels, how many thresholds each passes.
template <class Acc>
uint8x16_t count_passed(const Acc* acc, const uint32_t* rows, int levels) {
  using Vector = decltype(load(acc));
  Vector turned[4];
  uint32x4_t passed[4];
  for (int i = 0; i < 4; ++i) {
    turned[i] = turn(load(acc + 4 * i), rows + levels * kBlock + 4 * i);
    passed[i] = vdupq_n_u32(0);
  }
  for (int k = 0; k < levels; ++k) {
    for (int i = 0; i < 4; ++i) {
      passed[i] =
          vsubq_u32(passed[i], passes(turned[i], rows + k * kBlock + 4 * i));
    }
  }
  const uint16x8_t low =
      vcombine_u16(vmovn_u32(passed[0]), vmovn_u32(passed[1]));
  const uint16x8_t high =
      vcombine_u16(vmovn_u32(passed[2]), vmovn_u32(passed[3]));
  return vcombine_u8(vmovn_u16(low), vmovn_u16(high));
}

// planes[bits][index]: the planes of the index-th code.
struct PlanesOfIndex {
  uint8_t planes[5][16] = {};
  constexpr PlanesOfIndex() {
    for (int bits = 1; bits <= 4; ++bits) {
      const Type type = static_cast<Type>(bits);
      for (int i = 0; i <= threshold_count(type); ++i)
        planes[bits][i] =
            static_cast<uint8_t>(planes_from_code(bits, code_at(type, i)));
    }
  }
};
inline constexpr PlanesOfIndex kPlanesOfIndex;

// Bit p of 64 bytes, for every plane p, as one word.
inline void store_words(int bits, const uint8x16_t* bytes, uint64_t valid,
                        uint64_t* words) {
  const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128,
                            1, 2, 4, 8, 16, 32, 64, 128};
  for (int p = 0; p < bits; ++p) {
    const uint8x16_t plane = vdupq_n_u8(static_cast<uint8_t>(1 << p));
    uint8x16_t set[4];
    for (int i = 0; i < 4; ++i)
      set[i] = vandq_u8(vtstq_u8(bytes[i], plane), place);
    const uint8x16_t sums =
        vpaddq_u8(vpaddq_u8(set[0], set[1]), vpaddq_u8(set[2], set[3]));
    words[p] =
        vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0) & valid;
  }
}

// Scales 64 channels with the rows of pack_output.
template <class Acc>
void scale_block(const Layer& layer, const Acc* acc, const uint32_t* rows,
                 float* values) {
  const auto* scale = reinterpret_cast<const float*>(rows);
  const float *bias = scale + kBlock, *offset = bias + kBlock;
  for (int i = 0; i < kBlock; i += 4) {
    float32x4_t real = to_float(load(acc + i));
    if (layer.offset != nullptr) real = vaddq_f32(real, load(offset + i));
    const float32x4_t scaled = vmulq_f32(real, load(scale + i));
    store(values + i, vaddq_f32(scaled, load(bias + i)));
  }
}

// To the nearest code, ties to even; not a number gives 0.
inline void round_block(const float* values, int8_t* codes) {
  for (int i = 0; i < kBlock; i += 8) {
    const int16x4_t low = vqmovn_s32(vcvtnq_s32_f32(load(values + i)));
    const int16x4_t high = vqmovn_s32(vcvtnq_s32_f32(load(values + i + 4)));
    vst1_s8(codes + i, vqmovn_s16(vcombine_s16(low, high)));
  }
}

template <class Acc>
void store_pixel(const Layer& layer, const void* constants, const Acc* acc,
                 int block, void* pixel);

// Behind float output: sums with the addend, limited, and their codes. The
// pixel is one of sum.place().
inline void store_sums(const Layer& layer, const void* constants, float* values,
                       int block, int count, float* pixel) {
  const Sum& sum = layer.sum;
  const int64_t at =
      pixel - static_cast<const float*>(sum.place()) + int64_t{block} * kBlock;
  if (sum.has_addend) {
    float addend[kBlock];
    std::memcpy(addend, sum.addend + at, sizeof(float) * count);
    for (int i = 0; i < count; i += 4)
      store(values + i, vaddq_f32(load(addend + i), load(values + i)));
  }
  if (sum.has_limits) {
    const float32x4_t low = vdupq_n_f32(sum.low), high = vdupq_n_f32(sum.high);
    for (int i = 0; i < count; i += 4) {
      float32x4_t value = load(values + i);
      value = vbslq_f32(vcltq_f32(value, low), low, value);
      store(values + i, vbslq_f32(vcgtq_f32(value, high), high, value));
    }
  }
  if (sum.floats != nullptr)
    std::memcpy(sum.floats + at, values, sizeof(float) * count);
  const char* behind =
      static_cast<const char*>(constants) + own_output_bytes(layer);
  for (int q = 0; q < sum.quantizer_count; ++q) {
    const Layer& quantizer = sum.quantizers[q];
    store_pixel(quantizer, behind, values, block, codes_at(layer, q, pixel));
    behind += own_output_bytes(quantizer);
  }
}

// The stage for one block of a pixel. `acc` has 64 elements; those of channels
// that do not exist may be anything.
template <class Acc>
void store_pixel(const Layer& layer, const void* constants, const Acc* acc,
                 int block, void* pixel) {
  const int count = channels_in_block(layer.out_channels, block);
  const int rows = output_rows(layer);
  const auto* row =
      static_cast<const uint32_t*>(constants) + int64_t{block} * rows * kBlock;
  const auto copy = [&](const void* numbers) {
    std::memcpy(static_cast<char*>(pixel) + int64_t{4} * block * kBlock,
                numbers, size_t{4} * count);
  };
  if (layer.scale != nullptr) {
    float values[kBlock];
    scale_block(layer, acc, row, values);
    if (layer.sums()) {
      return store_sums(layer, constants, values, block, count,
                        static_cast<float*>(pixel));
    }
    if (!layer.rounds()) return copy(values);
    int8_t codes[kBlock];
    round_block(values, codes);
    std::memcpy(static_cast<char*>(pixel) + block * kBlock, codes, count);
    return;
  }
  if (layer.output == Type::kInt32) return copy(acc);
  uint8x16_t index[4];
  for (int i = 0; i < 4; ++i)
    index[i] = count_passed(acc + 16 * i, row + 16 * i, rows - 1);
  if (layer.output == Type::kInt8) {
    uint8_t codes[kBlock];
    const uint8x16_t first = vdupq_n_u8(static_cast<uint8_t>(layer.first_code));
    for (int i = 0; i < 4; ++i)
      vst1q_u8(codes + 16 * i, vaddq_u8(index[i], first));
    std::memcpy(static_cast<char*>(pixel) + block * kBlock, codes, count);
    return;
  }
  const int width = bits(layer.output);
  const uint8x16_t table = vld1q_u8(kPlanesOfIndex.planes[width]);
  for (int i = 0; i < 4; ++i) index[i] = vqtbl1q_u8(table, index[i]);
  const uint64_t valid = ~uint64_t{0} >> (kBlock - count);
  store_words(width, index, valid,
              static_cast<uint64_t*>(pixel) + int64_t{block} * width);
}

// What the loop over tiles does with 64 sums.
template <class AccType>
struct NeonOutput {
  using Acc = AccType;
  using Set = Neon;

  static TapSums tap_sums(const Layer&, const void*) { return {}; }
  static bool decodes(const Layer&) { return false; }

  static void max(const Acc* const* rows, int count, int first, int columns,
                  Acc* best) {
    for (int i = 0; i < kBlock; i += 4) {
      const int64_t from = int64_t{first} * kBlock + i;
      auto most = load(rows[0] + from);
      for (int y = 0; y < count; ++y) {
        const Acc* at = rows[y] + from;
        for (int x = 0; x < columns; ++x, at += kBlock)
          most = greater(most, load(at));
      }
      neon::store(best + i, most);
    }
  }

  // acc += plus0 + plus1 - minus0 - minus1 - minus2, so many sums or, up to 64,
  // more of each.
  static void combine(const int32_t* plus0, const int32_t* plus1,
                      const int32_t* minus0, const int32_t* minus1,
                      const int32_t* minus2, int count, int32_t* acc) {
    for (int i = 0; i < count; i += 4) {
      const int32x4_t plus = vaddq_s32(load(plus0 + i), load(plus1 + i));
      const int32x4_t minus = vaddq_s32(
          vaddq_s32(load(minus0 + i), load(minus1 + i)), load(minus2 + i));
      neon::store(acc + i, vsubq_s32(vaddq_s32(load(acc + i), plus), minus));
    }
  }

  static void store(const Layer& layer, const void* constants, const Acc* acc,
                    int block, char* pixel) {
    store_pixel(layer, constants, acc, block, pixel);
  }

  static void store_pixels(const Layer& layer, const void* constants,
                           const Acc* acc, int pixels, int block, char* pixel) {
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    for (int i = 0; i < pixels; ++i)
      store_pixel(layer, constants, acc + i * kBlock, block, pixel + i * step);
  }
};

// Constants of a Method stand behind those of the output stage.
template <class Constants>
auto* behind_output(const Layer& layer, Constants* constants) {
  using Byte = std::conditional_t<std::is_const_v<Constants>, const char, char>;
  return static_cast<Byte*>(constants) + output_bytes(layer);
}

// The kernel of one Method, which also says
//   kRows, kChannels                    as in TiledKernel
//   constants_bytes(layer), pack(layer, constants)
//                                       its own constants
template <class Method>
struct OneMethod {
  static constexpr int kRows = Method::kRows, kChannels = Method::kChannels;

  static size_t constants_bytes(const Layer& layer) {
    return output_bytes(layer) + Method::constants_bytes(layer);
  }
  static void pack(const Layer& layer, void* constants) {
    pack_output(layer, constants);
    Method::pack(layer, behind_output(layer, constants));
  }
  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(Method());
  }
};

}  // namespace aqe::neon
