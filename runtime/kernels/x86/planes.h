// XNOR on bit planes on x86, for 1- and 2-bit codes: a 64-bit word of one pixel
// meets the same word of as many output channels as a register has lanes. What
// comes out is the number of products that are not what they could be at most;
// how it is counted is the instruction set's.
//
// Its `Bits`, one type for each pair of widths, says
//   Lanes                         its vectors of sums
//   kWords                        64-bit words of a register: output channels
//   kMostRows                     positions at a time
//   pack(word, steps)             from weights as in the file to what is
//   counted
//                                 with; word(i) is one of the channel's
//   init(layer, nonzero, steps)   what the sums of a channel with so many
//                                 weights that are not 0 start with
//   finish(row, filled, last)     the same for a patch of so many words, of
//                                 which two and the last are free
//   multiply<kRows>(patch, stride, weights, steps, init, acc)
//                                 rows `stride` words apart times kPlaneVectors
//                                 registers of channels
#pragma once

#include <algorithm>

#include "keras_aqe/codes.h"
#include "kernels/loops/tiles.h"
#include "kernels/x86/output.h"

namespace aqe {

constexpr int kPlaneVectors = 2;  // registers of output channels at a time

// Two words of a plane at a time where both sides have but one.
constexpr int words_at_a_time(int input_bits, int weight_bits) {
  return input_bits * weight_bits == 1 ? 2 : 1;
}

inline bool needs_tap_sums(const Layer& layer) {
  return layer.input == Type::kPacked1 && layer.pad_value == 0 &&
         layer.op == Operator::kConv2D;
}

// Constants: int32 `init` of each output channel (padded to blocks); a pixel
// of padding; for 1-bit input padded with 0, TapSums; weights
// [block][split][step][word][vector][lane]. Lane i of vector v is output
// channel 2 i + v of the split.
struct PlanesLayout {
  int64_t channels, steps, step_words;
  size_t init, pad, tap_sums, weights, end;

  // Alone, since each position at the border asks.
  static size_t pad_offset(const Layer& layer) {
    return sizeof(int32_t) * kBlock * block_count(layer.out_channels);
  }

  explicit PlanesLayout(const Layer& layer) {
    const int together = words_at_a_time(bits(layer.input), layer.weight_bits);
    const int64_t words = window_taps(layer) * aqe::words(layer.in_channels);
    channels = int64_t{block_count(layer.out_channels)} * kBlock;
    steps = (words + together - 1) / together;
    step_words = together * layer.weight_bits;
    init = 0;
    pad = pad_offset(layer);
    tap_sums = pad + round_up(pixel_bytes(layer.input, layer.in_channels), 64);
    weights = tap_sums + (needs_tap_sums(layer) ? TapSums::bytes(layer) : 0);
    end = weights + steps * step_words * channels * 8;
  }
};

template <class Bits>
struct Planes : VectorOutput<typename Bits::Lanes> {
  using typename VectorOutput<typename Bits::Lanes>::Acc;
  using typename VectorOutput<typename Bits::Lanes>::Set;
  static constexpr int kChannels = Bits::kWords * kPlaneVectors;
  static constexpr int kSplits = kBlock / kChannels;

  static void pack(const Layer& layer, void* constants) {
    const PlanesLayout at(layer);
    auto* bytes = static_cast<char*>(constants);
    std::fill_n(bytes, at.end, 0);
    auto* init = reinterpret_cast<int32_t*>(bytes + at.init);
    auto* tap_sums = reinterpret_cast<int32_t*>(bytes + at.tap_sums);
    auto* weights = reinterpret_cast<uint64_t*>(bytes + at.weights);
    if (layer.pad_value != 0) {
      for (int c = 0; c < layer.in_channels; ++c)
        store_code(layer.input, bytes + at.pad, c, layer.pad_value);
    }
    for (int o = 0; o < layer.out_channels; ++o) {
      uint64_t* own = weights +
                      o / kChannels * at.steps * at.step_words * kChannels +
                      o % 2 * Bits::kWords + o % kChannels / 2;
      const auto word = [&](int64_t i) -> uint64_t& {
        return own[i * kChannels];
      };
      int nonzero = 0;
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        const int code = weight_code(layer, o, i);
        const int64_t tap = i / layer.in_channels;
        const int c = static_cast<int>(i % layer.in_channels);
        const int64_t first =
            (tap * words(layer.in_channels) + c / 64) * layer.weight_bits;
        const uint64_t bit = uint64_t{1} << (c % 64);
        if (layer.weight_bits == 2 && code != 0) word(first) |= bit;
        if (code < 0) word(first + layer.weight_bits - 1) |= bit;
        nonzero += code != 0;
        if (needs_tap_sums(layer))
          TapSums::at_tap(layer, tap, tap_sums)[o] += code;
      }
      Bits::pack(word, at.steps);
      init[o] = Bits::init(layer, nonzero, at.steps);
    }
    if (needs_tap_sums(layer)) TapSums::integrate(layer, tap_sums);
  }

  static size_t pixel_bytes(const Layer& layer) {
    return aqe::pixel_bytes(layer.input, layer.in_channels);
  }
  static int64_t filled_words(const Layer& layer) {
    return window_taps(layer) * pixel_elements(layer.input, layer.in_channels);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up((filled_words(layer) + 2) * 8, 64);
  }
  static size_t block_bytes(const Layer& layer) {
    const PlanesLayout at(layer);
    return at.steps * at.step_words * kBlock * 8;
  }
  static TapSums tap_sums(const Layer& layer, const void* constants) {
    if (!needs_tap_sums(layer)) return {};
    return TapSums(layer, reinterpret_cast<const int32_t*>(
                              static_cast<const char*>(constants) +
                              PlanesLayout(layer).tap_sums));
  }

  AQE_TARGET static void load(const Layer&, const char* pixels, int,
                              int64_t bytes, char* to) {
    Set::copy_words(pixels, bytes / 4, to);
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) +
           PlanesLayout::pad_offset(layer);
  }
  AQE_TARGET static void finish(const Layer& layer, char* patch) {
    Bits::finish(reinterpret_cast<uint64_t*>(patch), filled_words(layer),
                 patch_bytes(layer) / 8 - 1);
  }

  AQE_TARGET static void multiply(const Layer& layer, const void* constants,
                                  const char* patches, int rows, int block,
                                  Acc* acc) {
    const PlanesLayout at(layer);
    const auto* bytes = static_cast<const char*>(constants);
    const auto* patch = reinterpret_cast<const uint64_t*>(patches);
    const int64_t stride = patch_bytes(layer) / 8;
    const int64_t split_words = at.steps * at.step_words * kChannels;
    const auto* weights =
        reinterpret_cast<const uint64_t*>(bytes + at.weights) +
        block * kSplits * split_words;
    const auto* init =
        reinterpret_cast<const int32_t*>(bytes + at.init) + block * kBlock;
    auto run = Bits::template multiply<Bits::kMostRows>;
    if (layer.out_pixels() == 1 && !layer.has_pool)
      run = Bits::template multiply<1>;
    const int filled = parts_of_block(layer, block, kChannels);
    for (int split = 0; split < filled; ++split) {
      for (int r = 0; r < rows; r += Bits::kMostRows) {
        run(patch + r * stride, stride, weights + split * split_words, at.steps,
            init + split * kChannels, acc + r * kBlock + split * kChannels);
      }
    }
  }
};

// `Counts::Of<input bits, weight bits>` are the Bits of an instruction set.
template <class Counts>
struct PlanesMethods {
  template <int kInput, int kWeight>
  using Method = Planes<typename Counts::template Of<kInput, kWeight>>;

  static constexpr int kRows = Counts::template Of<1, 1>::kMostRows;
  static constexpr int kChannels = Method<1, 1>::kChannels;

  static size_t constants_bytes(const Layer& layer) {
    return PlanesLayout(layer).end;
  }
  static void pack(const Layer& layer, void* constants) {
    with_method(layer, [&](auto method) { method.pack(layer, constants); });
  }
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    if (layer.input == Type::kPacked1) {
      return layer.weight_bits == 1 ? call(Method<1, 1>())
                                    : call(Method<1, 2>());
    }
    return layer.weight_bits == 1 ? call(Method<2, 1>()) : call(Method<2, 2>());
  }
};

template <class Counts>
constexpr Kernel planes_kernel(const char* name, Operator op,
                               uint32_t features) {
  return TiledKernel<PlanesMethods<Counts>>::kernel(
      name, op, width_set(Type::kPacked1, Type::kPacked2), width_set(1, 2),
      features);
}

}  // namespace aqe
