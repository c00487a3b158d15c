// Depthwise convolutions of codes as products of bytes whose sums need 32 bits:
// taps in fours.
//
// A `Set` has the bytes of an instruction set:
//   Bytes, kBytes                       a register of codes, its channels
//   kIsInterleaved                      whether the weights of four taps stand
//                                       in turn, channel by channel, or one
//                                       tap's behind the other's
//   raise(input), decode(layer, pixels, count, block, to)
//                                       as in loops/depthwise_bytes.h, in an
//                                       order of its own
//   load(from), Weights, load_weights(from)
//                                       those of four taps
//   Sums, load_sums(from)               32 bits each, in the order of channels
//   add_four<kQuarters>(sums, codes, weights)
//                                       to the first quarters of them at least
//   store_sums(sums, to)
//   output_bytes(layer), pack_output(layer, constants)
//                                       as in loops/depthwise.h
//   store_pixels(layer, constants, sums, count, block, pixel)
//                                       as in loops/tiles.h
#pragma once

#include <algorithm>
#include <cstring>

#include "keras_aqe/kernel.h"
#include "kernels/loops/depthwise.h"
#include "kernels/loops/depthwise_taps.h"

namespace aqe::depthwise_dot {

constexpr int kTaps = 4;
constexpr int kStored = 16;  // positions that go through the output stage

// Constants behind those of the output stage, of each block: int32 what sums
// start with, to make up for what bytes are more than codes; weights
// [register][four].
struct Layout {
  int64_t fours;
  size_t weights, block, start, end;

  template <class Set>
  static Layout of(const Layer& layer) {
    Layout at;
    at.fours = (layer.weights_per_output() + kTaps - 1) / kTaps;
    at.weights = sizeof(int32_t) * kBlock;
    at.block = at.weights + at.fours * kTaps * kBlock;
    at.start = round_up(Set::output_bytes(layer), 64);
    at.end = at.start + at.block * block_count(layer.out_channels);
    return at;
  }
};

template <class Set>
void pack(const Layer& layer, void* constants) {
  Set::pack_output(layer, constants);
  const Layout at = Layout::of<Set>(layer);
  char* const bytes = static_cast<char*>(constants) + at.start;
  std::memset(bytes, 0, at.end - at.start);
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    char* const block = bytes + o / kBlock * at.block;
    const int own = o % Set::kBytes;
    char* const weights =
        block + at.weights +
        o % kBlock / Set::kBytes * at.fours * kTaps * Set::kBytes;
    int sum = 0;
    for (int64_t tap = 0; tap < layer.weights_per_output(); ++tap) {
      sum += codes[tap];
      const int64_t place = Set::kIsInterleaved
                                ? kTaps * own + tap % kTaps
                                : tap % kTaps * Set::kBytes + own;
      weights[tap / kTaps * kTaps * Set::kBytes + place] =
          static_cast<char>(codes[tap]);
    }
    reinterpret_cast<int32_t*>(block)[o % kBlock] =
        -Set::raise(layer.input) * sum;
  }
}

template <class Set>
class Conv {
 public:
  Conv(const Layer& layer, const void* constants)
      : layer_(layer),
        at_(Layout::of<Set>(layer)),
        constants_(static_cast<const char*>(constants)),
        step_(int64_t{layer.window.stride_x} * kBlock),
        pixel_step_(pixel_bytes(layer.output, layer.out_channels)) {}

  AQE_TARGET void run_row(const char* const* taps, int block,
                          char* pixel) const {
    const int channels = channels_in_block(layer_.out_channels, block);
    constexpr int kQuarter = Set::kBytes / 4;
    if (channels <= kQuarter) {
      run_channels<1>(taps, block, pixel);
    } else if (channels <= 2 * kQuarter) {
      run_channels<2>(taps, block, pixel);
    } else {
      run_channels<4>(taps, block, pixel);
    }
  }

 private:
  template <int kQuarters>
  AQE_TARGET void run_channels(const char* const* taps, int block,
                               char* pixel) const {
    alignas(64) int32_t sums[kStored * kBlock];
    for (int x = 0; x < layer_.out_width; x += kStored) {
      const int count = std::min(kStored, layer_.out_width - x);
      int i = 0;
      for (; i + kDepthwisePositions <= count; i += kDepthwisePositions) {
        add_up<kQuarters, kDepthwisePositions>(taps, x + i, block,
                                               sums + i * kBlock);
      }
      for (; i < count; ++i)
        add_up<kQuarters, 1>(taps, x + i, block, sums + i * kBlock);
      Set::store_pixels(layer_, constants_, sums, count, block,
                        pixel + x * pixel_step_);
    }
  }

  // The sums of so many neighbouring positions; of a register's channels the
  // first quarters.
  template <int kQuarters, int kCount>
  AQE_TARGET void add_up(const char* const* taps, int64_t x, int block,
                         int32_t* to) const {
    const char* start = constants_ + at_.start + block * at_.block;
    const char* weights = start + at_.weights;
    const int channels = channels_in_block(layer_.out_channels, block);
    for (int first = 0; first < channels; first += Set::kBytes) {
      typename Set::Sums sums[kCount];
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i)
        sums[i] =
            Set::load_sums(reinterpret_cast<const int32_t*>(start) + first);
      const char* const* four = taps;
      for (int64_t n = at_.fours; n > 0; --n) {
        const auto own = Set::load_weights(weights);
#pragma GCC unroll 4
        for (int i = 0; i < kCount; ++i) {
          const int64_t offset = (x + i) * step_ + first;
          Set::template add_four<kQuarters>(
              &sums[i], Set::load(four[0] + offset),
              Set::load(four[1] + offset), Set::load(four[2] + offset),
              Set::load(four[3] + offset), own);
        }
        four += kTaps;
        weights += kTaps * Set::kBytes;
      }
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i)
        Set::store_sums(sums[i], to + i * kBlock + first);
    }
  }

  const Layer& layer_;
  const Layout at_;
  const char* const constants_;
  const int64_t step_, pixel_step_;
};

template <class Set>
struct DotKernel {
  static constexpr Kernel kernel(const char* name, uint32_t features) {
    return {name,
            Operator::kDepthwiseConv2D,
            kCodeWidths,
            kWeightWidths,
            features,
            kDepthwisePositions,
            kBlock,
            has_few_taps,
            constants_bytes,
            pack<Set>,
            depthwise_bytes_of_rows,
            depthwise_units,
            run};
  }

 private:
  static size_t constants_bytes(const Layer& layer) {
    return Layout::of<Set>(layer).end;
  }
  static void run(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
    const Conv<Set> conv(layer, constants);
    for_depthwise_rows<Set, kTaps>(
        layer, input, output, scratch, begin, end,
        [&](const char* const* taps, int block, char* pixel) {
          conv.run_row(taps, block, pixel);
        });
  }
};

}  // namespace aqe::depthwise_dot
