// The output stage of the portable kernels: up to 64 channels of one pixel.
#pragma once

#include "keras_aqe/codes.h"

namespace aqe {

constexpr int kBlock = 64;  // channels at a time: one word of each plane

inline int block_count(int channels) { return words(channels); }

inline int channels_in_block(int channels, int block) {
  const int rest = channels - block * kBlock;
  return rest < kBlock ? rest : kBlock;
}

inline void count_thresholds(const Layer& layer, const int32_t* acc, int first,
                             int count, int* index) {
  for (int k = 0; k < threshold_count(layer.output); ++k) {
    const int32_t* threshold =
        layer.thresholds + int64_t{k} * layer.out_channels + first;
    for (int i = 0; i < count; ++i)
      index[i] += layer.direction[first + i] * acc[i] >= threshold[i];
  }
}

inline void count_thresholds(const Layer& layer, const float* acc, int first,
                             int count, int* index) {
  for (int k = 0; k < threshold_count(layer.output); ++k) {
    const float* threshold =
        layer.float_thresholds + int64_t{k} * layer.out_channels + first;
    for (int i = 0; i < count; ++i)
      index[i] += layer.direction[first + i] * acc[i] >= threshold[i];
  }
}

// Writes `count` codes as the words of one 64-channel group.
inline void pack_block(Type type, const int8_t* codes, int count,
                       uint64_t* group) {
  for (int p = 0; p < bits(type); ++p) group[p] = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned planes = planes_from_code(bits(type), codes[i]);
    for (int p = 0; p < bits(type); ++p)
      group[p] |= uint64_t{planes >> p & 1} << i;
  }
}

// The words of one 64-channel group from the channels that pass each threshold,
// bit i of passes[k] for channel i. A code's number m in docs/format.md is at
// least j where the threshold j above the middle is passed or the one j below
// it is not; bit p of m changes at each multiple of 2^p.
template <int kBits>
inline void planes_from_passes(const uint64_t* passes, int count,
                               uint64_t* group) {
  const uint64_t valid =
      count == kBlock ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  constexpr int middle = kBits == 1 ? 1 : (1 << (kBits - 1)) - 1;
  for (int p = 0; p < kBits - 1; ++p) {
    uint64_t plane = 0;
    for (int j = 1 << p; j <= middle; j += 1 << p)
      plane ^= passes[middle - 1 + j] | ~passes[middle - j];
    group[p] = plane & valid;
  }
  group[kBits - 1] = ~passes[middle - 1] & valid;
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
void store_block(const Layer& layer, const Acc* acc, int block, void* pixel) {
  const int first = block * kBlock;
  const int count = channels_in_block(layer.out_channels, block);
  const auto scaled = [&](int i) {
    return static_cast<float>(acc[i]) * layer.scale[first + i] +
           layer.bias[first + i];
  };
  if (layer.output == Type::kFloat32) {
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
      codes[i] = static_cast<int8_t>(code_at(layer.output, index[i]));
    store_codes(layer, codes, block, count, pixel);
  }
}

// Codes of one block of a pixel.
inline void load_block(Type type, const void* pixel, int channels, int block,
                       int8_t* codes) {
  const int count = channels_in_block(channels, block);
  for (int i = 0; i < count; ++i)
    codes[i] = static_cast<int8_t>(load_code(type, pixel, block * kBlock + i));
}

inline const char* pixel_at(Type type, int channels, const void* tensor,
                            int64_t pixel) {
  return static_cast<const char*>(tensor) + pixel * pixel_bytes(type, channels);
}

inline char* pixel_at(Type type, int channels, void* tensor, int64_t pixel) {
  return static_cast<char*>(tensor) + pixel * pixel_bytes(type, channels);
}

// A unit of the portable kernels: one output row (over the batch) and one block
// of 64 output channels.
inline int64_t row_block_units(const Layer& layer) {
  return int64_t{layer.batch} * layer.out_height *
         block_count(layer.out_channels);
}

struct RowBlock {
  int batch, y, block;
  int64_t first_pixel;
};

inline RowBlock row_block(const Layer& layer, int64_t unit) {
  const int blocks = block_count(layer.out_channels);
  const int64_t row = unit / blocks;
  return {static_cast<int>(row / layer.out_height),
          static_cast<int>(row % layer.out_height),
          static_cast<int>(unit % blocks), row * layer.out_width};
}

inline size_t no_bytes(const Layer&) { return 0; }
inline void no_constants(const Layer&, void*) {}

}  // namespace aqe
