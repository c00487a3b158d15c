// Depthwise convolutions of codes as products of bytes: taps in pairs, whose
// products are added up in 16 bits. Where all that thresholds of a channel tell
// apart differs in a byte, sums are limited to it, so that 64 of them are
// compared at once.
//
// A `Set` has the bytes of an instruction set:
//   Bytes, kBytes                       a register of codes, its channels
//   kIsInterleaved                      whether the weights of two taps stand
//                                       in turn, those of 8 channels in each
//                                       half of 16 first, or one behind the
//                                       other
//   raise(input)                        what bytes are more than codes
//   decode(layer, pixels, count, block, to)
//                                       64 codes of each of so many neighbours
//                                       as bytes
//   load(from), Weights, load_weights(from)
//                                       those of two taps
//   Sums, no_sums(), add_pair(sums, first, second, weights)
//                                       16 bits each, in the order in which
//                                       interleaved weights have the channels
//   store_sums(sums, to)
//   narrow(sums, base)                  less `base`, limited to 0 .. 254
//   passes(bytes, thresholds)           bits of 64 channels that are at least
//                                       the threshold
//   all(code)                           a register of codes
//   add_passed(codes, bytes, thresholds)
//                                       plus 1 where bytes are at least these
//   store_bytes(codes, count, to)       the first `count`
//   output_bytes(layer), pack_output(layer, constants),
//   store(layer, constants, sums, block, pixel)
//                                       as in loops/depthwise.h
#pragma once

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "keras_aqe/codes.h"
#include "keras_aqe/kernel.h"
#include "kernels/loops/depthwise.h"
#include "kernels/loops/depthwise_taps.h"

namespace aqe::depthwise_bytes {

// Of thresholds that no sum passes, which are limited to one less.
constexpr int kNever = 255;

inline int64_t pairs(const Layer& layer) {
  return (layer.weights_per_output() + 1) / 2;
}

// Greatest magnitude of a byte, whatever an instruction set adds to codes.
inline int64_t most_byte(const Layer& layer) {
  return 2 * int64_t{max_code(bits(layer.input))};
}

inline bool supports(const Layer& layer) {
  return has_few_taps(layer) && layer.weights_per_output() * most_byte(layer) *
                                        max_code(layer.weight_bits) <=
                                    INT16_MAX;
}

// The thresholds of a channel that some sums pass and others do not, where its
// weights are `codes`.
struct MetThresholds {
  int64_t most = 0;  // of a sum
  int64_t least = INT_MAX, greatest;

  MetThresholds(const Layer& layer, int o, const int8_t* codes) {
    for (int64_t tap = 0; tap < layer.weights_per_output(); ++tap)
      most += std::abs(codes[tap]) * max_code(bits(layer.input));
    greatest = -most;
    for (int k = 0; k < layer.levels(); ++k) {
      const int64_t own = layer.thresholds[int64_t{k} * layer.out_channels + o];
      if (own <= -most || own > most) continue;
      least = std::min(least, own);
      greatest = std::max(greatest, own);
    }
  }

  bool fit_bytes() const { return greatest - least + 1 < kNever; }
};

// Whether sums are compared as bytes.
inline bool fits_bytes(const Layer& layer) {
  if (!has_few_codes(layer)) return false;
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    if (!MetThresholds(layer, o, rows.codes(o)).fit_bytes()) return false;
  }
  return true;
}

// Constants behind those of the output stage: whether sums are compared as
// bytes; then of each block int16 base or, if they are not, what sums have too
// much, in the order of Sums; thresholds [level], weights [register][pair].
struct Layout {
  int levels;
  int64_t pairs;
  size_t head, base, thresholds, weights, block, end;

  template <class Set>
  static Layout of(const Layer& layer) {
    Layout at;
    at.levels = has_few_codes(layer) ? layer.levels() : 0;
    at.pairs = depthwise_bytes::pairs(layer);
    at.head = round_up(Set::output_bytes(layer), 64);
    at.base = at.head + 64;
    at.thresholds = at.base + sizeof(int16_t) * kBlock;
    at.weights = at.thresholds + at.levels * kBlock;
    at.block = at.weights + 2 * at.pairs * kBlock - at.base;
    at.end = at.base + at.block * block_count(layer.out_channels);
    return at;
  }
};

// Where the sums of a register have channel c.
template <class Set>
int sum_of_channel(int c) {
  constexpr int kHalf = Set::kBytes / 2;
  const int own = c % Set::kBytes;
  return c - own + own / 8 % 2 * kHalf + own / 16 * 8 + own % 8;
}

template <class Set>
class Packer {
 public:
  Packer(const Layer& layer, void* constants)
      : layer_(layer),
        at_(Layout::of<Set>(layer)),
        bytes_(static_cast<char*>(constants)),
        rows_(layer) {}

  void pack() {
    std::memset(bytes_ + at_.head, 0, at_.end - at_.head);
    const bool compares_bytes = fits_bytes(layer_);
    bytes_[at_.head] = compares_bytes;
    for (int o = 0; o < layer_.out_channels; ++o) {
      const int8_t* codes = rows_.codes(o);
      if (compares_bytes) pack_thresholds(o, codes);
      pack_weights(o, codes, compares_bytes);
    }
  }

 private:
  char* block_at(size_t offset, int o) const {
    return bytes_ + offset + o / kBlock * at_.block;
  }
  int16_t& base(int o) const {
    return reinterpret_cast<int16_t*>(
        block_at(at_.base, o))[sum_of_channel<Set>(o % kBlock)];
  }
  // What a channel's sums of bytes have too much.
  int excess(const int8_t* codes) const {
    int sum = 0;
    for (int64_t tap = 0; tap < layer_.weights_per_output(); ++tap)
      sum += codes[tap];
    return sum * Set::raise(layer_.input);
  }

  // Where the direction is -1, the sum of the weights' opposites is compared.
  void pack_thresholds(int o, const int8_t* codes) {
    const MetThresholds met(layer_, o, codes);
    const int64_t first = met.least == INT_MAX ? 0 : met.least - 1;
    for (int k = 0; k < at_.levels; ++k) {
      const int64_t threshold =
          layer_.thresholds[int64_t{k} * layer_.out_channels + o];
      const int64_t own = threshold <= -met.most ? 0
                          : threshold > met.most ? kNever
                                                 : threshold - first;
      block_at(at_.thresholds, o)[k * kBlock + o % kBlock] =
          static_cast<char>(own);
    }
    base(o) = static_cast<int16_t>(first + layer_.direction[o] * excess(codes));
  }

  void pack_weights(int o, const int8_t* codes, bool compares_bytes) {
    const int direction = compares_bytes ? layer_.direction[o] : 1;
    if (!compares_bytes) base(o) = static_cast<int16_t>(excess(codes));
    const int own = o % Set::kBytes;
    char* weights = block_at(at_.weights, o) +
                    o % kBlock / Set::kBytes * at_.pairs * 2 * Set::kBytes;
    for (int64_t tap = 0; tap < layer_.weights_per_output(); ++tap) {
      const int second = static_cast<int>(tap % 2);
      const int place = Set::kIsInterleaved
                            ? 2 * sum_of_channel<Set>(own) + second
                            : second * Set::kBytes + own;
      weights[tap / 2 * 2 * Set::kBytes + place] =
          static_cast<char>(codes[tap] * direction);
    }
  }

  const Layer& layer_;
  const Layout at_;
  char* const bytes_;
  WeightRows rows_;
};

// What two taps add to the sums of so many neighbouring positions, `step` bytes
// apart, or start them with.
template <class Set, int kCount, bool kIsFirst>
AQE_TARGET inline __attribute__((always_inline)) void add_pair(
    const char* const* taps, int64_t offset, int64_t step, const char* weights,
    typename Set::Sums (&sums)[kCount]) {
  const auto own = Set::load_weights(weights);
#pragma GCC unroll 4
  for (int i = 0; i < kCount; ++i) {
    if (kIsFirst) sums[i] = Set::no_sums();
    Set::add_pair(&sums[i], Set::load(taps[0] + offset + i * step),
                  Set::load(taps[1] + offset + i * step), own);
  }
}

// The sums of so many neighbouring positions for a register of channels;
// taps[i] is where the first position has the code of tap i, the last one twice
// if their number is odd.
template <class Set, int kCount>
AQE_TARGET inline __attribute__((always_inline)) void add_up(
    const char* const* taps, int64_t offset, int64_t step, int64_t pairs,
    const char* weights, typename Set::Sums (&sums)[kCount]) {
  add_pair<Set, kCount, true>(taps, offset, step, weights, sums);
  for (int64_t pair = 1; pair < pairs; ++pair) {
    taps += 2;
    weights += 2 * Set::kBytes;
    add_pair<Set, kCount, false>(taps, offset, step, weights, sums);
  }
}

template <class Set>
class Conv {
 public:
  Conv(const Layer& layer, const void* constants)
      : layer_(layer),
        at_(Layout::of<Set>(layer)),
        constants_(static_cast<const char*>(constants)),
        compares_bytes_(constants_[at_.head] != 0),
        step_(int64_t{layer.window.stride_x} * kBlock),
        pixel_step_(pixel_bytes(layer.output, layer.out_channels)) {}

  void run(const void* input, void* output, void* scratch, int64_t begin,
           int64_t end) {
    for_depthwise_rows<Set, 2>(
        layer_, input, output, scratch, begin, end,
        [this](const char* const* taps, int block, char* pixel) {
          block_ = block;
          run_row(taps, pixel);
        });
  }

 private:
  static constexpr int kPositions = kDepthwisePositions;
  static constexpr int kRegisters = kBlock / Set::kBytes;

  void run_row(const char* const* taps, char* pixel) const {
    switch (compares_bytes_ ? layer_.output : Type::kInt32) {
      case Type::kPacked1:
        return run_positions<1>(taps, pixel);
      case Type::kPacked2:
        return run_positions<2>(taps, pixel);
      case Type::kPacked3:
        return run_positions<3>(taps, pixel);
      case Type::kPacked4:
        return run_positions<4>(taps, pixel);
      case Type::kInt8:
        return run_positions<8>(taps, pixel);
      default:
        return run_positions<0>(taps, pixel);
    }
  }

  template <int kBits>
  AQE_TARGET void run_positions(const char* const* taps, char* pixel) const {
    const int width = layer_.out_width;
    if (width < kPositions) {
      for (int x = 0; x < width; ++x)
        run_some<kBits, 1>(taps, x, pixel + x * pixel_step_);
      return;
    }
    for (int first = 0; first < width; first += kPositions) {
      // The last ones overlap those before.
      const int x = std::min(first, width - kPositions);
      run_some<kBits, kPositions>(taps, x, pixel + x * pixel_step_);
    }
  }

  // kBits: of packed codes, 8 of others, 0 for the output stage of all kernels.
  template <int kBits, int kCount>
  AQE_TARGET void run_some(const char* const* taps, int64_t x,
                           char* pixel) const {
    const char* block = constants_ + block_ * at_.block;
    const char* weights = block + at_.weights;
    alignas(64) int16_t kept[kBits == 0 ? kCount : 1][kBlock];
    typename Set::Bytes bytes[kCount][kRegisters];
    for (int r = 0; r < kRegisters; ++r) {
      typename Set::Sums sums[kCount];
      add_up<Set, kCount>(taps, x * step_ + r * Set::kBytes, step_, at_.pairs,
                          weights + r * at_.pairs * 2 * Set::kBytes, sums);
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        if constexpr (kBits == 0) {
          Set::store_sums(sums[i], kept[i] + r * Set::kBytes);
        } else {
          bytes[i][r] = Set::narrow(
              sums[i], block + at_.base + sizeof(int16_t) * r * Set::kBytes);
        }
      }
    }
    if constexpr (kBits == 8) {
      store_bytes<kCount>(bytes, block + at_.thresholds, pixel);
      return;
    }
    for (int i = 0; i < kCount; ++i, pixel += pixel_step_) {
      if constexpr (kBits == 0) {
        store_sums(kept[i], reinterpret_cast<const int16_t*>(block + at_.base),
                   pixel);
      } else {
        store_planes<kBits>(bytes[i], block + at_.thresholds, pixel);
      }
    }
  }

  template <int kBits>
  AQE_TARGET void store_planes(const typename Set::Bytes* bytes,
                               const char* thresholds, char* pixel) const {
    constexpr int kLevels = threshold_count(static_cast<Type>(kBits));
    uint64_t passes[kLevels];
#pragma GCC unroll 14
    for (int k = 0; k < kLevels; ++k)
      passes[k] = Set::passes(bytes, thresholds + k * kBlock);
    planes_from_passes<kBits>(
        passes, channels_in_block(layer_.out_channels, block_),
        reinterpret_cast<uint64_t*>(pixel) + int64_t{block_} * kBits);
  }

  template <int kCount>
  AQE_TARGET void store_bytes(
      const typename Set::Bytes (&bytes)[kCount][kRegisters],
      const char* thresholds, char* pixel) const {
    const int count = channels_in_block(layer_.out_channels, block_);
    char* to = pixel + int64_t{block_} * kBlock;
    for (int r = 0; r < kRegisters; ++r) {
      const int first = r * Set::kBytes;
      if (first >= count) break;
      typename Set::Bytes codes[kCount];
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) codes[i] = Set::all(layer_.first_code);
      for (int k = 0; k < at_.levels; ++k) {
        const char* own = thresholds + k * kBlock + first;
#pragma GCC unroll 4
        for (int i = 0; i < kCount; ++i)
          codes[i] = Set::add_passed(codes[i], bytes[i][r], own);
      }
      const int some = std::min(count - first, Set::kBytes);
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i)
        Set::store_bytes(codes[i], some, to + first + i * pixel_step_);
    }
  }

  AQE_TARGET void store_sums(const int16_t* sums, const int16_t* excess,
                             char* pixel) const {
    alignas(64) int32_t acc[kBlock];
    for (int c = 0; c < kBlock; c += 8) {
      const int from = sum_of_channel<Set>(c);
      for (int i = 0; i < 8; ++i)
        acc[c + i] = int32_t{sums[from + i]} - excess[from + i];
    }
    Set::store(layer_, constants_, acc, block_, pixel);
  }

  const Layer& layer_;
  const Layout at_;
  const char* const constants_;
  const bool compares_bytes_;
  const int64_t step_, pixel_step_;
  int block_ = 0;
};

template <class Set>
struct BytesKernel {
  static constexpr Kernel kernel(const char* name, uint32_t features) {
    return {name,
            Operator::kDepthwiseConv2D,
            kCodeWidths,
            kWeightWidths,
            features,
            kDepthwisePositions,
            kBlock,
            supports,
            constants_bytes,
            pack,
            depthwise_bytes_of_rows,
            depthwise_units,
            run,
            fits_bytes};
  }

 private:
  static size_t constants_bytes(const Layer& layer) {
    return Layout::of<Set>(layer).end;
  }
  static void pack(const Layer& layer, void* constants) {
    Set::pack_output(layer, constants);
    Packer<Set>(layer, constants).pack();
  }
  static void run(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
    Conv<Set>(layer, constants).run(input, output, scratch, begin, end);
  }
};

}  // namespace aqe::depthwise_bytes
