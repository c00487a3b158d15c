// Convolutions as products of bytes, four neighbouring ones at a time, or of
// floats, on x86.
//
// A `Dot` says how:
//   Lanes                         its vectors
//   kChannels                     output channels at a time
//   multiply(layer, patches, stride, rows, channels, weights, steps, init,
//            acc)                 rows of patches times kChannels, of which so
//                                 many exist
#pragma once

#include <algorithm>

#include "kernels/x86/dot.h"

namespace aqe {

// Constants: what the sums start with, int32 or float of each output channel;
// a pixel of padding; weights [block][split][step][channel of the split], four
// bytes or a float each.
struct DotLayout {
  int64_t steps;
  size_t init, pad, weights, end;

  explicit DotLayout(const Layer& layer) {
    const size_t channels = size_t{kBlock} * block_count(layer.out_channels);
    steps = window_taps(layer) * (patch_pixel_bytes(layer) / 4);
    init = 0;
    pad = init + channels * 4;
    weights = pad + round_up(patch_pixel_bytes(layer), 64);
    end = weights + steps * channels * 4;
  }
};

inline size_t dot_constants_bytes(const Layer& layer) {
  return DotLayout(layer).end;
}

template <int kChannels>
void pack_dot(const Layer& layer, void* constants) {
  const DotLayout at(layer);
  auto* bytes = static_cast<char*>(constants);
  std::fill_n(bytes, at.end, 0);
  auto* init = reinterpret_cast<int32_t*>(bytes + at.init);
  const bool is_real = layer.float_accumulator();
  fill_pad_pixel(layer, bytes + at.pad);
  for (int o = 0; o < layer.out_channels; ++o) {
    char* own = bytes + at.weights +
                (o / kChannels * at.steps * kChannels + o % kChannels) * 4;
    int64_t sum = 0;
    for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
      const int code = weight_code(layer, o, i);
      const size_t byte = i / layer.in_channels * patch_pixel_bytes(layer) +
                          i % layer.in_channels * (is_real ? 4 : 1);
      char* at_step = own + byte / 4 * kChannels * 4;
      if (is_real) {
        const auto value = static_cast<float>(code);
        std::memcpy(at_step, &value, sizeof value);
      } else {
        at_step[byte % 4] = static_cast<char>(code);
        sum += code;
      }
    }
    if (!is_real) init[o] = take_back(layer.input, sum);
  }
}

template <class Dot>
struct DotConv : VectorOutput<typename Dot::Lanes> {
  using Acc = typename Dot::Lanes::Acc;

  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up(window_taps(layer) * pixel_bytes(layer), 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return window_taps(layer) * pixel_bytes(layer) * kBlock;
  }

  AQE_TARGET static void load(const Layer& layer, const char* pixels, int count,
                              int64_t bytes, char* to) {
    load_pixels<typename Dot::Lanes::Set>(layer, pixels, count, bytes, to);
  }
  static bool decodes(const Layer& layer) {
    return layer.input != Type::kFloat32;
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) + DotLayout(layer).pad;
  }
  AQE_TARGET static void finish(const Layer&, char*) {}

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, Acc* acc) {
    constexpr int splits = kBlock / Dot::kChannels;
    const DotLayout at(layer);
    const auto* bytes = static_cast<const char*>(constants);
    const auto* init =
        reinterpret_cast<const Acc*>(bytes + at.init) + block * kBlock;
    const size_t split_bytes = at.steps * Dot::kChannels * 4;
    const int filled = parts_of_block(layer, block, Dot::kChannels);
    for (int split = 0; split < filled; ++split) {
      Dot::multiply(
          layer, patches, patch_bytes(layer), rows,
          channels_in_block(layer.out_channels, block) - split * Dot::kChannels,
          bytes + at.weights + (block * splits + split) * split_bytes, at.steps,
          init + split * Dot::kChannels, acc + split * Dot::kChannels);
    }
  }
};

}  // namespace aqe
