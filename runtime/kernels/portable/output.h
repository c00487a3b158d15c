// The output stage of the portable kernels: up to 64 channels of one pixel.
#pragma once

#include <algorithm>
#include <cassert>

#include "keras_aqe/codes.h"
#include "kernels/loops/blocks.h"

namespace aqe {

template <class Acc>
void count_thresholds(const Layer& layer, const Acc* acc, int first, int count,
                      int* index) {
  const Acc* thresholds = thresholds_of(layer, acc) + first;
  for (int k = 0; k < layer.levels(); ++k, thresholds += layer.out_channels) {
    for (int i = 0; i < count; ++i)
      index[i] += layer.direction[first + i] * acc[i] >= thresholds[i];
  }
}

// Eight codes at a time, as the bytes of a word.
constexpr uint64_t kOnes = 0x0101010101010101;

// Byte i of the result is bit i of `bits`.
inline uint64_t bytes_from_bits(uint64_t bits) {
  const uint64_t apart = (bits & 255) * kOnes & 0x8040201008040201;
  return (apart + 0x7f * kOnes) >> 7 & kOnes;
}

// Bit i of the result is the lowest bit of byte i.
inline uint64_t bits_from_bytes(uint64_t bytes) {
  return (bytes & kOnes) * 0x0102040810204080 >> 56;
}

// Changes the sign of the bytes that are not 0 where `negative` is 1.
inline uint64_t negate_bytes(uint64_t bytes, uint64_t negative) {
  return (bytes ^ negative * 255) + negative;
}

// Writes `count` codes as the words of one 64-channel group.
inline void pack_block(Type type, const int8_t* codes, int count,
                       uint64_t* group) {
  int8_t all[kBlock] = {};
  std::memcpy(all, codes, count);
  uint64_t negative = 0, powers[7] = {};  // bit i: |code i| is 2^k
  for (int i = 0; i < kBlock; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, all + i, 8);
    const uint64_t signs = eight >> 7 & kOnes;
    eight = negate_bytes(eight, signs);
    negative |= bits_from_bytes(signs) << i;
    for (int k = 0; k < 7; ++k) powers[k] |= bits_from_bytes(eight >> k) << i;
  }
  // The magnitude of 2^k is k + 1.
  const uint64_t magnitude[] = {
      powers[0] | powers[2] | powers[4] | powers[6],
      powers[1] | powers[2] | powers[5] | powers[6],
      powers[3] | powers[4] | powers[5] | powers[6],
  };
  std::copy_n(magnitude, bits(type) - 1, group);
  group[bits(type) - 1] = negative;
}

inline void store_codes(const Layer& layer, const int8_t* codes, int block,
                        int count, void* pixel) {
  if (layer.output == Type::kInt8) {
    std::memcpy(static_cast<int8_t*>(pixel) + block * kBlock, codes, count);
  } else {
    pack_block(
        layer.output, codes, count,
        static_cast<uint64_t*>(pixel) + int64_t{block} * bits(layer.output));
  }
}

template <class Acc>
void store_block(const Layer& layer, const Acc* acc, int block, void* pixel);

// Behind float output: sums with the addend, limited, and their codes. The
// pixel is one of sum.place().
inline void store_sums(const Layer& layer, float* values, int block,
                       void* pixel) {
  const Sum& sum = layer.sum;
  const int count = channels_in_block(layer.out_channels, block);
  const int64_t at = static_cast<const float*>(pixel) -
                     static_cast<const float*>(sum.place()) +
                     int64_t{block} * kBlock;
  if (sum.has_addend) {
    for (int i = 0; i < count; ++i) values[i] = sum.addend[at + i] + values[i];
  }
  if (sum.has_limits) {
    for (int i = 0; i < count; ++i) values[i] = sum.limit(values[i]);
  }
  if (sum.floats != nullptr) std::copy_n(values, count, sum.floats + at);
  for (int q = 0; q < sum.quantizer_count; ++q)
    store_block(sum.quantizers[q], values, block, codes_at(layer, q, pixel));
}

template <class Acc>
void store_block(const Layer& layer, const Acc* acc, int block, void* pixel) {
  const int first = block * kBlock;
  const int count = channels_in_block(layer.out_channels, block);
  assert(count >= 1 && count <= kBlock);
  const auto scaled = [&](int i) {
    float real = static_cast<float>(acc[i]);
    if (layer.offset != nullptr) real += layer.offset[first + i];
    return real * layer.scale[first + i] + layer.bias[first + i];
  };
  if (layer.sums()) {
    float values[kBlock];
    for (int i = 0; i < count; ++i) values[i] = scaled(i);
    store_sums(layer, values, block, pixel);
  } else if (layer.output == Type::kFloat32) {
    float* out = static_cast<float*>(pixel) + first;
    for (int i = 0; i < count; ++i) out[i] = scaled(i);
  } else if (layer.rounds()) {
    int8_t* out = static_cast<int8_t*>(pixel) + first;
    for (int i = 0; i < count; ++i)
      out[i] = static_cast<int8_t>(nearest_code(scaled(i)));
  } else if (layer.output == Type::kInt32) {
    int32_t* out = static_cast<int32_t*>(pixel) + first;
    for (int i = 0; i < count; ++i) out[i] = static_cast<int32_t>(acc[i]);
  } else {
    int index[kBlock] = {};
    count_thresholds(layer, acc, first, count, index);
    int8_t codes[kBlock];
    for (int i = 0; i < count; ++i)
      codes[i] = static_cast<int8_t>(output_code(layer, index[i]));
    store_codes(layer, codes, block, count, pixel);
  }
}

// Codes of one block of a pixel; of packed types all 64, where channels end 1
// or 0.
inline void load_block(Type type, const void* pixel, int channels, int block,
                       int8_t* codes) {
  if (type == Type::kInt8) {
    std::memcpy(codes, static_cast<const int8_t*>(pixel) + block * kBlock,
                channels_in_block(channels, block));
    return;
  }
  const int planes = bits(type);
  assert(planes >= 1 && planes <= 4);
  const auto* group =
      static_cast<const uint64_t*>(pixel) + int64_t{block} * planes;
  // Planes of the magnitude, 0 where the width has none.
  const uint64_t a = planes > 1 ? group[0] : 0, b = planes > 2 ? group[1] : 0,
                 c = planes > 3 ? group[2] : 0;
  const uint64_t powers[] = {planes == 1 ? ~uint64_t{0} : a & ~b & ~c,
                             b & ~a & ~c,
                             a & b & ~c,
                             c & ~a & ~b,
                             a & c & ~b,
                             b & c & ~a,
                             a & b & c};
  const int count = planes == 1 ? 1 : (1 << (planes - 1)) - 1;
  const uint64_t negative =
      group[planes - 1] & (planes == 1 ? ~uint64_t{0} : a | b | c);
  for (int i = 0; i < kBlock; i += 8) {
    uint64_t eight = 0;
    for (int k = 0; k < count; ++k)
      eight |= bytes_from_bits(powers[k] >> i) << k;
    eight = negate_bytes(eight, bytes_from_bits(negative >> i));
    std::memcpy(codes + i, &eight, 8);
  }
}

}  // namespace aqe
