// Quantize of parts, whose channels may be too few to fill registers: these
// hold floats of neighbouring pixels as they stand in a part. What passes
// thresholds is a stream of bits, from which the words of each pixel are put
// together.
//
// Written for what output.h says of vectors, and of the instruction set
//   Set::PixelBits(step, first, count, place)
//     add(stream, pixels, words)      adds to the word of each pixel, from bit
//                                     `place` on, so many bits of a stream that
//                                     has `step` for each, from the first on;
//                                     goes by eight pixels, and may read
//                                     kStreamSlack beyond the stream
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/loops/quantize.h"
#include "kernels/x86/output.h"

namespace aqe {

constexpr int kMostPixelBits = 48;  // that are added at a time
constexpr int kStreamSlack = 64;    // bytes

template <class Lanes>
class PartsQuantize {
 public:
  // Codes of few thresholds.
  static bool supports(const Layer& layer) {
    return layer.parts != nullptr && is_packed(layer.output) &&
           layer.output != Type::kPacked4;
  }

  // Constants: of each part signs to flip, then each threshold; of all these
  // the part's channels, and its first ones again, so that a register may begin
  // at any.
  static size_t constants_bytes(const Layer& layer) {
    int64_t floats = 0;
    if (supports(layer)) {
      for (int i = 0; i < layer.part_count; ++i)
        floats += (1 + layer.levels()) * row(layer.parts[i].channels);
    }
    return sizeof(float) * floats;
  }

  static void pack(const Layer& layer, void* constants) {
    if (!supports(layer)) return;
    auto* to = static_cast<float*>(constants);
    int first = 0;
    for (int i = 0; i < layer.part_count; ++i) {
      const int channels = layer.parts[i].channels;
      for (int c = 0; c < row(channels); ++c)
        *to++ = layer.direction[first + c % channels] < 0 ? -0.0f : 0.0f;
      const float* thresholds = layer.float_thresholds + first;
      for (int k = 0; k < layer.levels(); ++k) {
        for (int c = 0; c < row(channels); ++c)
          *to++ = thresholds[c % channels];
        thresholds += layer.out_channels;
      }
      first += channels;
    }
  }

  // Streams of all parts, for each threshold that is compared with.
  static size_t scratch_bytes(const Layer& layer) {
    return supports(layer) ? bits(layer.output) * streams_bytes(layer) : 0;
  }

  static void quantize(const Layer& layer, const void* constants, int64_t first,
                       int pixels, void* scratch, char* pixel) {
    const auto* own = static_cast<const float*>(constants);
    auto* streams = static_cast<char*>(scratch);
    switch (layer.output) {
      case Type::kPacked1:
        return quantize_to<1>(layer, own, first, pixels, streams, pixel);
      case Type::kPacked2:
        return quantize_to<2>(layer, own, first, pixels, streams, pixel);
      default:
        quantize_to<3>(layer, own, first, pixels, streams, pixel);
    }
  }

 private:
  using Set = typename Lanes::Set;
  using Vector = typename Lanes::Vector;

  // How the channels of a part stand in registers.
  struct Registers {
    int count;       // that have other channels each
    int step;        // floats from one to the next of the same channels
    int pixel_bits;  // of a stream

    explicit Registers(int channels) {
      // Side by side, so many pixels and their registers repeat. To load the
      // thresholds of a register takes about as long as to compare with them.
      const int pixels = kLanes / std::min(channels & -channels, kLanes);
      const int alone = static_cast<int>(round_up(channels, kLanes));
      const bool takes_less =
          (kQuantizedPixels + pixels) * channels < kQuantizedPixels * alone;
      if (channels <= kMostPixelBits && takes_less) {
        count = channels * pixels / kLanes;
        step = channels * pixels;
        pixel_bits = channels;
      } else {
        count = alone / kLanes;
        step = channels;
        pixel_bits = alone;
      }
    }

    // Of the stream of a unit's pixels.
    int64_t bytes() const { return int64_t{kQuantizedPixels} / 8 * pixel_bits; }
  };

  static int64_t row(int channels) { return channels + kLanes - 1; }

  static int64_t streams_bytes(const Layer& layer) {
    int64_t bytes = kStreamSlack;
    for (int i = 0; i < layer.part_count; ++i)
      bytes += Registers(layer.parts[i].channels).bytes();
    return bytes;
  }

  template <int kBits>
  static void quantize_to(const Layer& layer, const float* constants,
                          int64_t first, int pixels, char* streams,
                          char* pixel) {
    const int64_t apart = streams_bytes(layer);
    char* to = streams;
    for (int i = 0; i < layer.part_count; ++i) {
      const Part& part = layer.parts[i];
      const Registers registers(part.channels);
      compare<kBits>(part.values + first * part.channels,
                     int64_t{pixels} * part.channels, part.channels, registers,
                     constants, to, apart);
      constants +=
          (1 + FewPasses<Lanes, kBits>::kThresholds) * row(part.channels);
      to += registers.bytes();
    }
    put_together<kBits>(layer, streams, apart, pixels, pixel);
  }

  // Some floats of a part.
  template <int kBits>
  AQE_TARGET static void compare(const float* values, int64_t count,
                                 int channels, Registers registers,
                                 const float* constants, char* stream,
                                 int64_t apart) {
    using Passes = FewPasses<Lanes, kBits>;
    constexpr int kRegisterBytes = kLanes / 8;
    const int64_t step = registers.step;
    const int64_t to_step = int64_t{registers.count} * kRegisterBytes;
    for (int r = 0, c = 0; r < registers.count; ++r, c += kLanes) {
      while (c >= channels) c -= channels;
      const float* own = constants + c;
      const Vector signs = Lanes::load(own);
      Vector thresholds[Passes::kThresholds];
      for (int k = 0; k < Passes::kThresholds; ++k)
        thresholds[k] = Lanes::load(own + (1 + k) * row(channels));
      char* to = stream + r * kRegisterBytes;
      const auto add = [&](Vector value) AQE_TARGET {
        const typename Set::Some all(kLanes);
        const Passes found(all, Lanes::flip(value, signs), thresholds);
        for (int k = 0; k < kBits; ++k) {
          const uint64_t bits = Set::bits(all, found.passes[k]);
          std::memcpy(to + k * apart, &bits, kRegisterBytes);  // little-endian
        }
        to += to_step;
      };
      int64_t i = r * kLanes;
      for (; i + kLanes <= count; i += step) add(Lanes::load(values + i));
      for (; i < count; i += step) {
        const typename Set::Some rest(static_cast<int>(count - i));
        add(Set::load(rest, values + i));
      }
    }
  }

  template <int kBits>
  AQE_TARGET static void put_together(const Layer& layer, const char* stream,
                                      int64_t apart, int pixels, char* pixel) {
    const int64_t step = pixel_elements(layer.output, layer.out_channels);
    const Part* part = layer.parts;
    for (int block = 0; block < block_count(layer.out_channels); ++block) {
      alignas(64) uint64_t words[kBits][kQuantizedPixels] = {};
      for_each_slice(layer, block, kMostPixelBits,
                     [&](const Slice& slice) AQE_TARGET {
                       for (; part != slice.part; ++part)
                         stream += Registers(part->channels).bytes();
                       const typename Set::PixelBits bits(
                           Registers(part->channels).pixel_bits, slice.channel,
                           slice.count, slice.first);
                       for (int k = 0; k < kBits; ++k)
                         bits.add(stream + k * apart, pixels, words[k]);
                     });
      const int count = channels_in_block(layer.out_channels, block);
      const uint64_t valid = ~uint64_t{0} >> (kBlock - count);
      for (int i = 0; i < kQuantizedPixels; ++i) {
        uint64_t passes[kBits], planes[kBits];
        for (int k = 0; k < kBits; ++k) passes[k] = words[k][i];
        FewPasses<Lanes, kBits>::planes(passes, valid, planes);
        for (int k = 0; k < kBits; ++k) words[k][i] = planes[k];
      }
      auto* to = reinterpret_cast<uint64_t*>(pixel) + int64_t{block} * kBits;
      for (int i = 0; i < pixels; ++i, to += step) {
        for (int k = 0; k < kBits; ++k) to[k] = words[k][i];
      }
    }
  }
};

}  // namespace aqe
