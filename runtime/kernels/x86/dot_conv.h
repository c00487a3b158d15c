// Convolutions as products of bytes, four neighbouring ones at a time, or of
// floats, on x86: four bytes or a float of a patch are broadcast against
// registers of output channels.
//
// A `Dot` says how:
//   Lanes                         its vectors
//   kMostRows                     positions at a time, an even number
//   kMostVectors                  registers of output channels at a time
//   broadcast(patch)              four bytes or a float, to all lanes
//   load(weights)                 a register of weights
//   add(sums, in, weights)        their products
//   kIsNarrow                     whether sums are narrower than the result's;
//                                 then also
//   zero()                        what they start with
//   most_steps(layer)             that they hold
//   widen(acc, sums)              adds them to sums of the result
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <utility>

#include "kernels/loops/decoded_rows.h"
#include "kernels/loops/tiles.h"
#include "kernels/loops/weights.h"
#include "kernels/x86/byte_patches.h"
#include "kernels/x86/output.h"

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
  const int together = is_real ? 1 : 4;  // codes of a step
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    char* step = bytes + at.weights +
                 (o / kChannels * at.steps * kChannels + o % kChannels) * 4;
    if (!is_real) {
      init[o] =
          take_back(layer.input,
                    std::accumulate(codes, codes + layer.weights_per_output(),
                                    int64_t{0}));
    }
    for (int64_t tap = 0; tap < window_taps(layer); ++tap) {
      for (int c = 0; c < layer.in_channels; c += together) {
        const int count = std::min(layer.in_channels - c, together);
        if (is_real) {
          const auto value = static_cast<float>(codes[0]);
          std::memcpy(step, &value, sizeof value);
        } else if (count == 4) {  // at a time, for speed
          std::memcpy(step, codes, 4);
        } else {
          std::copy_n(codes, count, step);
        }
        codes += count;
        step += kChannels * 4;
      }
    }
  }
}

// kRows rows times kVectors registers of output channels. A row comes in parts
// of so many steps; row r of a part is r strides behind the first.
template <class Dot, int kVectors, int kRows>
AQE_TARGET void multiply_rows(const Layer& layer, const char* const* parts,
                              int part_count, size_t stride,
                              const char* weights, int64_t steps,
                              const typename Dot::Lanes::Acc* init,
                              typename Dot::Lanes::Acc* acc) {
  using Lanes = typename Dot::Lanes;
  typename Lanes::Vector sums[kRows][kVectors];
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = Lanes::load(init + v * kLanes);
      if constexpr (Dot::kIsNarrow) {
        Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
        sums[r][v] = Dot::zero();
      }
    }
  }
  const char* patch = parts[0];
  int64_t all = part_count * steps, of_part = steps;  // that are left
  while (all > 0) {
    int64_t held = all;
    if constexpr (Dot::kIsNarrow) held = std::min(all, Dot::most_steps(layer));
    all -= held;
    while (held > 0) {
      const int64_t some = std::min(held, of_part);
      for (int64_t step = 0; step < some; ++step) {
        typename Lanes::Vector w[kVectors];
        for (int v = 0; v < kVectors; ++v)
          w[v] = Dot::load(weights + v * kBytes);
#pragma GCC unroll 14
        for (int r = 0; r < kRows; ++r) {
          const auto in = Dot::broadcast(patch + r * stride + step * 4);
          for (int v = 0; v < kVectors; ++v)
            sums[r][v] = Dot::add(sums[r][v], in, w[v]);
        }
        weights += Dot::kMostVectors * kBytes;
      }
      patch += some * 4;
      held -= some;
      of_part -= some;
      if (of_part == 0 && part_count > 1) {
        ++parts;
        --part_count;
        patch = *parts;
        of_part = steps;
      }
    }
    if constexpr (Dot::kIsNarrow) {
      for (int r = 0; r < kRows; ++r) {
        for (int v = 0; v < kVectors; ++v) {
          auto* at = acc + r * kBlock + v * kLanes;
          Lanes::store(at, Dot::widen(Lanes::load(at), sums[r][v]));
          sums[r][v] = Dot::zero();
        }
      }
    }
  }
  if constexpr (Dot::kIsNarrow) return;
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v)
      Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
  }
}

// The same for 2, 4, ... rows.
template <class Dot, int kVectors, size_t... kPairs>
constexpr auto runs_of_rows(std::index_sequence<kPairs...>) {
  return std::array{multiply_rows<Dot, kVectors, 2 * (int{kPairs} + 1)>...};
}

// The same for any number of rows, in runs of about the same length: short ones
// wait for their sums. Reads a row more than there are if their number is odd.
template <class Dot, int kVectors>
void multiply_all(const Layer& layer, const char* const* parts, int part_count,
                  size_t stride, int rows, const char* weights, int64_t steps,
                  const typename Dot::Lanes::Acc* init,
                  typename Dot::Lanes::Acc* acc) {
  static constexpr auto kRuns = runs_of_rows<Dot, kVectors>(
      std::make_index_sequence<Dot::kMostRows / 2>());
  const char* own[kMostWindowRows];
  std::copy_n(parts, part_count, own);
  for (int r = 0, count; r < rows; r += count) {
    const int runs = (rows - r + Dot::kMostRows - 1) / Dot::kMostRows;
    count = static_cast<int>(round_up((rows - r + runs - 1) / runs, 2));
    kRuns[count / 2 - 1](layer, own, part_count, stride, weights, steps, init,
                         acc + r * kBlock);
    for (int part = 0; part < part_count; ++part) own[part] += count * stride;
  }
}

// The same for so many output channels, as many as a split has or fewer.
template <class Dot>
auto multiply_channels(int channels) {
  return channels > kLanes ? multiply_all<Dot, Dot::kMostVectors>
                           : multiply_all<Dot, 1>;
}

template <class Dot>
struct DotConv : VectorOutput<typename Dot::Lanes> {
  using Acc = typename Dot::Lanes::Acc;
  static constexpr int kChannels = kLanes * Dot::kMostVectors;
  static constexpr int kSplits = kBlock / kChannels;

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
    const DotLayout at(layer);
    const auto* bytes = static_cast<const char*>(constants);
    const auto* init =
        reinterpret_cast<const Acc*>(bytes + at.init) + block * kBlock;
    const size_t split_bytes = at.steps * kChannels * 4;
    const int channels = channels_in_block(layer.out_channels, block);
    for (int split = 0; split < parts_of_block(layer, block, kChannels);
         ++split) {
      multiply_channels<Dot>(channels - split * kChannels)(
          layer, &patches, 1, patch_bytes(layer), rows,
          bytes + at.weights + (block * kSplits + split) * split_bytes,
          at.steps, init + split * kChannels, acc + split * kChannels);
    }
  }
};

template <class Dot>
struct DotConvMethods {
  static constexpr int kRows = Dot::kMostRows;
  static constexpr int kChannels = DotConv<Dot>::kChannels;
  static constexpr auto constants_bytes = dot_constants_bytes;
  static constexpr auto pack = pack_dot<kChannels>;

  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(DotConv<Dot>());
  }
};

template <class Dot>
constexpr Kernel dot_conv_kernel(const char* name, WidthSet inputs,
                                 uint32_t features) {
  return TiledKernel<DotConvMethods<Dot>>::kernel(
      name, Operator::kConv2D, inputs, kWeightWidths, features);
}

}  // namespace aqe
