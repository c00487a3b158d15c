// Blocks of 64 channels, one word of each plane, which all kernels go by: how
// many a layer has, where they lie, and how their codes are packed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "keras_aqe/layer.h"

namespace aqe {

constexpr int kBlock = 64;  // channels at a time: one word of each plane

inline int block_count(int channels) { return words(channels); }

inline int channels_in_block(int channels, int block) {
  const int rest = channels - block * kBlock;
  return rest < kBlock ? rest : kBlock;
}

constexpr size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

inline int64_t window_taps(const Layer& layer) {
  return int64_t{layer.window.height} * layer.window.width;
}

inline const char* pixel_at(Type type, int channels, const void* tensor,
                            int64_t pixel) {
  return static_cast<const char*>(tensor) + pixel * pixel_bytes(type, channels);
}

inline char* pixel_at(Type type, int channels, void* tensor, int64_t pixel) {
  return static_cast<char*>(tensor) + pixel * pixel_bytes(type, channels);
}

// Where a pixel has the codes of a block.
inline const char* block_at(Type codes, const char* pixel, int block) {
  const int bytes = codes == Type::kInt8 ? kBlock : 8 * bits(codes);
  return pixel + int64_t{block} * bytes;
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

// Where a quantizer's codes of the sum stand whose floats are those of a pixel.
inline char* codes_at(const Layer& layer, int number, const void* pixel) {
  const Layer& quantizer = layer.sum.quantizers[number];
  const int64_t bytes = static_cast<const char*>(pixel) -
                        static_cast<const char*>(layer.sum.place());
  // Divides exactly, and faster than integers do.
  const double pixels =
      static_cast<double>(bytes) * (0.25 / layer.out_channels) + 0.5;
  return pixel_at(quantizer.output, quantizer.out_channels,
                  layer.sum.codes[number], static_cast<int64_t>(pixels));
}

// Whether the output's codes are so few that the thresholds that a sum passes
// are counted one by one.
inline bool has_few_codes(const Layer& layer) {
  constexpr int kMostLevels = 15;
  return is_packed(layer.output) ||
         (layer.output == Type::kInt8 && !layer.rounds() &&
          layer.levels() <= kMostLevels);
}

// Whether sums of products of codes fit 16 bits, in which twice as many lie
// side by side, and are less than their greatest: those of few weights do.
inline bool has_short_sums(const Layer& layer) {
  const int code =
      std::max(max_code(bits(layer.input)), std::abs(layer.pad_value));
  return layer.weights_per_output() * code * max_code(layer.weight_bits) <
         INT16_MAX;
}

inline size_t no_bytes(const Layer&) { return 0; }
inline void no_constants(const Layer&, void*) {}

// Where the thresholds of an accumulator type stand.
inline const int32_t* thresholds_of(const Layer& layer, const int32_t*) {
  return layer.thresholds;
}
inline const float* thresholds_of(const Layer& layer, const float*) {
  return layer.float_thresholds;
}

// The words of one 64-channel group, or vectors of such words, from the
// channels that pass each threshold, bit i of passes[k] for channel i. A code's
// number m in docs/format.md is at least j where the threshold j above the
// middle is passed or the one j below it is not; bit p of m changes at each
// multiple of 2^p.
template <int kBits, class Words>
inline __attribute__((always_inline)) void planes_of_passes(const Words* passes,
                                                            const Words& valid,
                                                            Words* planes) {
  constexpr int middle = kBits == 1 ? 1 : (1 << (kBits - 1)) - 1;
  for (int p = 0; p < kBits - 1; ++p) {
    Words plane = {};
    for (int j = 1 << p; j <= middle; j += 1 << p)
      plane ^= passes[middle - 1 + j] | ~passes[middle - j];
    planes[p] = plane & valid;
  }
  planes[kBits - 1] = ~passes[middle - 1] & valid;
}

// The same of so many channels.
template <int kBits>
inline void planes_from_passes(const uint64_t* passes, int count,
                               uint64_t* group) {
  const uint64_t valid =
      count == kBlock ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  planes_of_passes<kBits>(passes, valid, group);
}

}  // namespace aqe
