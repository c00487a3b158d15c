// XNOR on bit planes on x86, for 1- and 2-bit codes: a 64-bit word of a patch
// meets the same word of as many output channels as a register has lanes. What
// comes out is the number of products that are not what they could be at most;
// how it is counted is the instruction set's. Pixels of few channels, which
// would leave most of their words empty, share words: see `slot_bits`.
//
// Its `Bits`, one type for each pair of widths, says
//   kPlanes                       bits of an input
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

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "keras_aqe/codes.h"
#include "kernels/loops/tiles.h"
#include "kernels/loops/weights.h"
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

// Bits that a pixel has of a word of a patch: 64, or as few as hold its
// channels, next to those of other pixels of the window.
inline int slot_bits(const Layer& layer) {
  if (layer.in_channels > 32 || window_taps(layer) == 1) return 64;
  return layer.in_channels > 16 ? 32 : layer.in_channels > 8 ? 16 : 8;
}

// Words of one plane of a patch.
inline int64_t plane_words(const Layer& layer) {
  const int slot = slot_bits(layer);
  return slot == 64 ? window_taps(layer) * words(layer.in_channels)
                    : (window_taps(layer) * slot + 63) / 64;
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
    const int64_t words = plane_words(layer);
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
    if (layer.pad_value != 0) pack_pad_pixel(layer, bytes + at.pad);
    const int slot = slot_bits(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      uint64_t* own = weights +
                      o / kChannels * at.steps * at.step_words * kChannels +
                      o % 2 * Bits::kWords + o % kChannels / 2;
      const auto word = [&](int64_t i) -> uint64_t& {
        return own[i * kChannels];
      };
      int nonzero = 0;
      for (int64_t tap = 0; tap < window_taps(layer); ++tap) {
        for (int c = 0; c < layer.in_channels; c += 64) {
          const int count = std::min(layer.in_channels - c, 64);
          uint64_t planes[kMostPlanes];
          load_weight_planes(layer, o, tap * layer.in_channels + c, count,
                             planes);
          const int64_t at_bit =
              slot == 64 ? tap * words(layer.in_channels) * 64 + c : tap * slot;
          for (int p = 0; p < layer.weight_bits; ++p)
            word(at_bit / 64 * layer.weight_bits + p) |= planes[p]
                                                         << (at_bit % 64);
          const int own =
              layer.weight_bits == 1 ? count : __builtin_popcountll(planes[0]);
          nonzero += own;
          if (needs_tap_sums(layer)) {
            TapSums::at_tap(layer, tap, tap_sums)[o] +=
                own - 2 * __builtin_popcountll(planes[layer.weight_bits - 1]);
          }
        }
      }
      Bits::pack(word, at.steps);
      init[o] = Bits::init(layer, nonzero, at.steps);
    }
    if (needs_tap_sums(layer)) TapSums::integrate(layer, tap_sums);
  }

  // Planes of a pixel lie side by side until `finish` parts them.
  static size_t pixel_bytes(const Layer& layer) {
    const int slot = slot_bits(layer);
    return slot == 64 ? aqe::pixel_bytes(layer.input, layer.in_channels)
                      : Bits::kPlanes * slot / 8;
  }
  static int64_t filled_words(const Layer& layer) {
    return plane_words(layer) * Bits::kPlanes;
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

  AQE_TARGET static void load(const Layer& layer, const char* pixels, int count,
                              int64_t bytes, char* to) {
    switch (slot_bits(layer)) {
      case 8:
        return load_slots<uint8_t>(pixels, count, to);
      case 16:
        return load_slots<uint16_t>(pixels, count, to);
      case 32:
        return load_slots<uint32_t>(pixels, count, to);
      default:
        Set::copy_words(pixels, bytes / 4, to);
    }
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) +
           PlanesLayout::pad_offset(layer);
  }
  AQE_TARGET static void finish(const Layer& layer, char* patch) {
    const int slot = slot_bits(layer);
    auto* row = reinterpret_cast<uint64_t*>(patch);
    const int64_t filled = filled_words(layer);
    if (slot < 64) {
      if constexpr (Bits::kPlanes == 2) part_planes(slot, row, filled);
      // Behind the last pixel there is what was there before.
      const int used = static_cast<int>(window_taps(layer) * slot % 64);
      if (used != 0) {
        for (int p = 1; p <= Bits::kPlanes; ++p)
          row[filled - p] &= (uint64_t{1} << used) - 1;
      }
    }
    Bits::finish(row, filled, patch_bytes(layer) / 8 - 1);
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

 private:
  static void pack_pad_pixel(const Layer& layer, char* to) {
    const int slot = slot_bits(layer);
    if (slot == 64) {
      for (int c = 0; c < layer.in_channels; ++c)
        store_code(layer.input, to, c, layer.pad_value);
      return;
    }
    uint64_t planes[Bits::kPlanes] = {};
    for (int c = 0; c < layer.in_channels; ++c)
      store_code(layer.input, planes, c, layer.pad_value);
    for (int p = 0; p < Bits::kPlanes; ++p)
      std::memcpy(to + p * slot / 8, &planes[p], slot / 8);
  }

  // Pixels hold nothing beyond their channels. Zeros behind the last one are
  // overwritten by what follows in the patch.
  template <class Slot>
  AQE_TARGET static void load_slots(const char* pixels, int count, char* to) {
    constexpr int kSlot = 8 * sizeof(Slot), kSlots = 64 / kSlot;
    for (int left = count * Bits::kPlanes; left > 0; left -= kSlots) {
      uint64_t word = 0;
      for (int i = 0; i < std::min(left, kSlots); ++i, pixels += 8) {
        uint64_t slot;
        std::memcpy(&slot, pixels, sizeof slot);
        word |= slot << (i * kSlot);
      }
      std::memcpy(to, &word, sizeof word);
      to += sizeof word;
    }
  }

  // From slots of two planes in turn to words of a plane each.
  AQE_TARGET static void part_planes(int slot, uint64_t* row, int64_t filled) {
    const __m128i order = slot == 8 ? _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14,
                                                    1, 3, 5, 7, 9, 11, 13, 15)
                          : slot == 16
                              ? _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6,
                                              7, 10, 11, 14, 15)
                              : _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6,
                                              7, 12, 13, 14, 15);
    for (int64_t i = 0; i < filled; i += 2) {
      auto* words = reinterpret_cast<__m128i*>(row + i);
      _mm_storeu_si128(words, _mm_shuffle_epi8(_mm_loadu_si128(words), order));
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
