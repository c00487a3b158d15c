// The output stage of the NEON kernels: 64 channels of some pixels.
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
inline int32x4_t turn(int32x4_t acc, uint32x4_t mask) {
  const int32x4_t m = vreinterpretq_s32_u32(mask);
  return vsubq_s32(veorq_s32(acc, m), m);
}
inline float32x4_t turn(float32x4_t acc, uint32x4_t mask) {
  return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(acc), mask));
}

inline uint32x4_t passes(int32x4_t acc, int32x4_t threshold) {
  return vcgeq_s32(acc, threshold);
}
inline uint32x4_t passes(float32x4_t acc, float32x4_t threshold) {
  return vcgeq_f32(acc, threshold);
}

constexpr int kPart = 16;          // channels at a time, a byte each
constexpr int kQuads = kPart / 4;  // registers of their sums

// The low bytes of four registers.
inline uint8x16_t bytes_of(const uint32x4_t (&quads)[kQuads]) {
  const auto halves = [&](int i) {
    return vuzp1q_u16(vreinterpretq_u16_u32(quads[i]),
                      vreinterpretq_u16_u32(quads[i + 1]));
  };
  return vuzp1q_u8(vreinterpretq_u8_u16(halves(0)),
                   vreinterpretq_u8_u16(halves(2)));
}

// Thresholds of 16 channels, from rows of pack_output.
template <class AccType, int kLevels>
struct Thresholds {
  using Acc = AccType;
  using Vector = decltype(load(static_cast<const Acc*>(nullptr)));

  explicit Thresholds(const uint32_t* rows) {
    for (int k = 0; k < kLevels; ++k, rows += kBlock) {
      for (int i = 0; i < kQuads; ++i)
        of[k][i] = load(reinterpret_cast<const Acc*>(rows) + 4 * i);
    }
    for (int i = 0; i < kQuads; ++i) masks[i] = vld1q_u32(rows + 4 * i);
  }

  // Bytes of ones for the channels that pass each.
  void pass(const Acc* acc, uint8x16_t (&passed)[kLevels]) const {
    Vector sums[kQuads];
    for (int i = 0; i < kQuads; ++i)
      sums[i] = turn(load(acc + 4 * i), masks[i]);
    for (int k = 0; k < kLevels; ++k) {
      uint32x4_t quads[kQuads];
      for (int i = 0; i < kQuads; ++i) quads[i] = passes(sums[i], of[k][i]);
      passed[k] = bytes_of(quads);
    }
  }

  Vector of[kLevels][kQuads];
  uint32x4_t masks[kQuads];
};

// The same where sums are shorter than what thresholds are limited to.
template <int kLevels>
struct ShortThresholds {
  using Acc = int32_t;

  explicit ShortThresholds(const uint32_t* rows) {
    for (int k = 0; k <= kLevels; ++k, rows += kBlock) {
      const auto* own = reinterpret_cast<const int32_t*>(rows);
      for (int i = 0; i < 2; ++i, own += 8)
        (k < kLevels ? of[k] : masks)[i] =
            vqmovn_high_s32(vqmovn_s32(load(own)), load(own + 4));
    }
  }

  void pass(const int32_t* acc, uint8x16_t (&passed)[kLevels]) const {
    int16x8_t sums[2];
    for (int i = 0; i < 2; ++i, acc += 8) {
      const int16x8_t sum = vuzp1q_s16(vreinterpretq_s16_s32(load(acc)),
                                       vreinterpretq_s16_s32(load(acc + 4)));
      sums[i] = vsubq_s16(veorq_s16(sum, masks[i]), masks[i]);
    }
    for (int k = 0; k < kLevels; ++k) {
      passed[k] = vuzp1q_u8(vreinterpretq_u8_u16(vcgeq_s16(sums[0], of[k][0])),
                            vreinterpretq_u8_u16(vcgeq_s16(sums[1], of[k][1])));
    }
  }

  int16x8_t of[kLevels][2], masks[2];
};

// Which bit each byte stands for, of the first `count`.
inline uint8x16_t places(int count) {
  const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128,
                            1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t number = {0, 1, 2,  3,  4,  5,  6,  7,
                             8, 9, 10, 11, 12, 13, 14, 15};
  return vandq_u8(place,
                  vcltq_u8(number, vdupq_n_u8(static_cast<uint8_t>(count))));
}

// 16 bits of each plane, from bytes that have their own or none.
template <int kBits>
uint64_t bits_of_planes(const uint8x16_t (&planes)[kBits]) {
  const uint8x16_t first = vpaddq_u8(planes[0], planes[kBits == 1 ? 0 : 1]);
  const uint8x16_t last =
      kBits <= 2 ? first : vpaddq_u8(planes[kBits - 2], planes[kBits - 1]);
  const uint8x16_t fours = vpaddq_u8(first, last);
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)), 0);
}

// Where those of plane p begin.
template <int kBits>
constexpr int bits_at(int p) {
  return 16 * (kBits == 3 && p > 0 ? p + 1 : p);
}

// Packed codes of pixels side by side, whose sums are `step` apart.
template <int kBits, class Thresholds>
void store_planes_by(const Layer& layer, const uint32_t* rows,
                     const typename Thresholds::Acc* acc, int64_t step,
                     int pixels, int block, char* pixel) {
  const int count = channels_in_block(layer.out_channels, block);
  const int64_t bytes = pixel_bytes(layer.output, layer.out_channels);
  pixel += int64_t{8} * block * kBits;
  for (int first = 0; first < count; first += kPart) {
    const Thresholds thresholds(rows + first);
    const uint8x16_t valid = places(count - first);
    const auto* own = acc + first;
    char* to = pixel;
    for (int i = 0; i < pixels; ++i, own += step, to += bytes) {
      uint8x16_t passed[threshold_count(static_cast<Type>(kBits))];
      uint8x16_t planes[kBits];
      thresholds.pass(own, passed);
      planes_of_passes<kBits>(passed, valid, planes);
      const uint64_t all = bits_of_planes<kBits>(planes);
      for (int p = 0; p < kBits; ++p) {
        const auto bits = static_cast<uint16_t>(all >> bits_at<kBits>(p));
        if (first == 0) {
          reinterpret_cast<uint64_t*>(to)[p] = bits;  // those behind are 0
        } else {
          reinterpret_cast<uint16_t*>(to)[4 * p + first / kPart] = bits;
        }
      }
    }
  }
}

template <int kBits, class Acc>
void store_planes(const Layer& layer, const uint32_t* rows, const Acc* acc,
                  int64_t step, int pixels, int block, char* pixel) {
  constexpr int kLevels = threshold_count(static_cast<Type>(kBits));
  if constexpr (std::is_same_v<Acc, int32_t>) {
    if (has_weights(layer.op) && is_code(layer.input) &&
        has_short_sums(layer)) {
      store_planes_by<kBits, ShortThresholds<kLevels>>(layer, rows, acc, step,
                                                       pixels, block, pixel);
      return;
    }
  }
  store_planes_by<kBits, Thresholds<Acc, kLevels>>(layer, rows, acc, step,
                                                   pixels, block, pixel);
}

// For 16 channels, how many thresholds each passes, one by one.
template <class Acc>
uint8x16_t count_passed(const Acc* acc, const uint32_t* rows, int levels) {
  decltype(load(acc)) sums[kQuads];
  uint32x4_t passed[kQuads];
  for (int i = 0; i < kQuads; ++i) {
    sums[i] =
        turn(load(acc + 4 * i), vld1q_u32(rows + levels * kBlock + 4 * i));
    passed[i] = vdupq_n_u32(0);
  }
  for (int k = 0; k < levels; ++k, rows += kBlock) {
    for (int i = 0; i < kQuads; ++i) {
      const auto own = load(reinterpret_cast<const Acc*>(rows) + 4 * i);
      passed[i] = vsubq_u32(passed[i], passes(sums[i], own));
    }
  }
  return bytes_of(passed);
}

// The first `count` of 16 bytes.
inline void store_some(uint8x16_t bytes, int count, char* to) {
  if (count >= kPart) return vst1q_u8(reinterpret_cast<uint8_t*>(to), bytes);
  uint8_t all[kPart];
  vst1q_u8(all, bytes);
  std::memcpy(to, all, count);
}

// Codes of int8 by thresholds.
template <class Acc>
void store_bytes(const Layer& layer, const uint32_t* rows, const Acc* acc,
                 int64_t step, int pixels, int block, char* pixel) {
  const int count = channels_in_block(layer.out_channels, block);
  const uint8x16_t first = vdupq_n_u8(static_cast<uint8_t>(layer.first_code));
  pixel += int64_t{block} * kBlock;
  for (int i = 0; i < pixels; ++i, acc += step, pixel += layer.out_channels) {
    for (int c = 0; c < count; c += kPart) {
      const uint8x16_t passed = count_passed(acc + c, rows + c, layer.levels());
      store_some(vaddq_u8(passed, first), count - c, pixel + c);
    }
  }
}

// To the nearest code, ties to even; not a number gives 0. Pixels are kBlock
// apart.
inline void store_nearest(const Layer& layer, const float* values, int pixels,
                          int block, char* pixel) {
  const int count = channels_in_block(layer.out_channels, block);
  pixel += int64_t{block} * kBlock;
  for (int i = 0; i < pixels;
       ++i, values += kBlock, pixel += layer.out_channels) {
    for (int c = 0; c < count; c += kPart) {
      int16x4_t nearest[kQuads];
      for (int k = 0; k < kQuads; ++k)
        nearest[k] = vqmovn_s32(vcvtnq_s32_f32(load(values + c + 4 * k)));
      const int8x8_t low = vqmovn_s16(vcombine_s16(nearest[0], nearest[1]));
      const int8x16_t codes =
          vqmovn_high_s16(low, vcombine_s16(nearest[2], nearest[3]));
      store_some(vreinterpretq_u8_s8(codes), count - c, pixel + c);
    }
  }
}

inline float32x4_t load_some(const float* from, int count) {
  if (count >= 4) return load(from);
  float all[4] = {};
  std::copy_n(from, count, all);
  return load(all);
}
inline void store_some(float32x4_t values, int count, float* to) {
  if (count >= 4) return store(to, values);
  float all[4];
  store(all, values);
  std::copy_n(all, count, to);
}

// Where floats go, and what is added to them; each null where there is none.
// Those of the copy are kBlock apart.
struct Floats {
  const float* addend;
  float* floats;
  float* copy;
};

// Scales four registers of channels, or as many as `count` needs, with rows of
// pack_output.
template <int kCount, class Acc>
void scale_part(const Layer& layer, const uint32_t* rows, const Acc* acc,
                int64_t step, int pixels, int count, Floats to) {
  const Sum& sum = layer.sum;
  const float32x4_t low = vdupq_n_f32(sum.low), high = vdupq_n_f32(sum.high);
  const int last = count - 4 * (kCount - 1);
  const auto some = [&](int i) { return i < kCount - 1 ? 4 : last; };
  float32x4_t scale[kCount], bias[kCount], offset[kCount];
  for (int i = 0; i < kCount; ++i) {
    const auto* own = reinterpret_cast<const float*>(rows) + 4 * i;
    scale[i] = load(own);
    bias[i] = load(own + kBlock);
    offset[i] = load(own + 2 * kBlock);
  }
  for (int p = 0; p < pixels; ++p, acc += step) {
    float32x4_t values[kCount];
    for (int i = 0; i < kCount; ++i) values[i] = to_float(load(acc + 4 * i));
    if (layer.offset != nullptr) {
      for (int i = 0; i < kCount; ++i)
        values[i] = vaddq_f32(values[i], offset[i]);
    }
    for (int i = 0; i < kCount; ++i)
      values[i] = vaddq_f32(vmulq_f32(values[i], scale[i]), bias[i]);
    if (to.addend != nullptr) {
      for (int i = 0; i < kCount; ++i)
        values[i] = vaddq_f32(load_some(to.addend + 4 * i, some(i)), values[i]);
      to.addend += layer.out_channels;
    }
    if (sum.has_limits) {
      for (float32x4_t& value : values) {
        value = vbslq_f32(vcltq_f32(value, low), low, value);
        value = vbslq_f32(vcgtq_f32(value, high), high, value);
      }
    }
    if (to.floats != nullptr) {
      for (int i = 0; i < kCount; ++i)
        store_some(values[i], some(i), to.floats + 4 * i);
      to.floats += layer.out_channels;
    }
    if (to.copy != nullptr) {
      for (int i = 0; i < kCount; ++i) store(to.copy + 4 * i, values[i]);
      to.copy += kBlock;
    }
  }
}

template <class Acc>
void scale_pixels(const Layer& layer, const uint32_t* rows, const Acc* acc,
                  int64_t step, int pixels, int block, Floats to) {
  const int count = channels_in_block(layer.out_channels, block);
  for (int c = 0; c < count; c += kPart) {
    const auto at = [&](auto* floats) {
      return floats == nullptr ? nullptr : floats + c;
    };
    const int some = count - c;
    const auto run = some > 12  ? scale_part<4, Acc>
                     : some > 8 ? scale_part<3, Acc>
                     : some > 4 ? scale_part<2, Acc>
                                : scale_part<1, Acc>;
    run(layer, rows + c, acc + c, step, pixels, std::min(some, kPart),
        {at(to.addend), at(to.floats), at(to.copy)});
  }
}

template <class Acc>
void store_pixels(const Layer& layer, const void* constants, const Acc* acc,
                  int64_t step, int pixels, int block, char* pixel);

// Floats of pixels side by side, and the codes of sums, or codes by rounding,
// from a copy that is at hand.
template <class Acc>
void store_floats(const Layer& layer, const void* constants,
                  const uint32_t* rows, const Acc* acc, int64_t step,
                  int pixels, int block, char* pixel) {
  constexpr int kTogether = 32;
  float values[kTogether * kBlock];
  const Sum& sum = layer.sum;
  const int64_t bytes = pixel_bytes(layer.output, layer.out_channels);
  for (int first = 0; first < pixels; first += kTogether) {
    const int some = std::min(kTogether, pixels - first);
    Floats to = {nullptr, nullptr, nullptr};
    auto* floats = reinterpret_cast<float*>(pixel) + int64_t{block} * kBlock;
    if (layer.sums()) {
      const int64_t at = floats - static_cast<const float*>(sum.place());
      if (sum.has_addend) to.addend = sum.addend + at;
      if (sum.floats != nullptr) to.floats = sum.floats + at;
    } else if (!layer.rounds()) {
      to.floats = floats;
    }
    if (layer.rounds() || sum.quantizer_count != 0) to.copy = values;
    scale_pixels(layer, rows, acc, step, some, block, to);
    if (layer.rounds()) store_nearest(layer, values, some, block, pixel);
    const char* behind =
        static_cast<const char*>(constants) + own_output_bytes(layer);
    for (int q = 0; q < sum.quantizer_count; ++q) {
      const Layer& quantizer = sum.quantizers[q];
      store_pixels(quantizer, behind, values, kBlock, some, block,
                   codes_at(layer, q, pixel));
      behind += own_output_bytes(quantizer);
    }
    acc += some * step;
    pixel += some * bytes;
  }
}

// The stage for one block of pixels side by side. Sums are `step` apart; those
// of channels that do not exist, up to a multiple of kPart, may be anything.
template <class Acc>
void store_pixels(const Layer& layer, const void* constants, const Acc* acc,
                  int64_t step, int pixels, int block, char* pixel) {
  const auto* rows = static_cast<const uint32_t*>(constants) +
                     int64_t{block} * output_rows(layer) * kBlock;
  if (layer.scale != nullptr) {
    return store_floats(layer, constants, rows, acc, step, pixels, block,
                        pixel);
  }
  switch (layer.output) {
    case Type::kPacked1:
      return store_planes<1>(layer, rows, acc, step, pixels, block, pixel);
    case Type::kPacked2:
      return store_planes<2>(layer, rows, acc, step, pixels, block, pixel);
    case Type::kPacked3:
      return store_planes<3>(layer, rows, acc, step, pixels, block, pixel);
    case Type::kPacked4:
      return store_planes<4>(layer, rows, acc, step, pixels, block, pixel);
    case Type::kInt8:
      return store_bytes(layer, rows, acc, step, pixels, block, pixel);
    default:
      break;
  }
  const int count = channels_in_block(layer.out_channels, block);
  auto* to = reinterpret_cast<Acc*>(pixel) + int64_t{block} * kBlock;
  for (int i = 0; i < pixels; ++i, acc += step, to += layer.out_channels)
    std::copy_n(acc, count, to);
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
    neon::store_pixels(layer, constants, acc, kBlock, 1, block, pixel);
  }

  static void store_pixels(const Layer& layer, const void* constants,
                           const Acc* acc, int pixels, int block, char* pixel) {
    neon::store_pixels(layer, constants, acc, kBlock, pixels, block, pixel);
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
