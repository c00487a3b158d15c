// Quantize with the vectors of an instruction set, whose header comes first.
#pragma once

#include "kernels/loops/quantize.h"
#include "kernels/x86/output.h"
#include "kernels/x86/quantize_parts.h"

namespace aqe {

template <class IntLanes, class RealLanes>
struct VectorQuantize {
  static void quantize(const Layer& layer, const void*, const int32_t* values,
                       int64_t step, int pixels, int block, char* pixel) {
    store_all<IntLanes>(layer, values, step, pixels, block, pixel);
  }
  static void quantize(const Layer& layer, const void*, const float* values,
                       int64_t step, int pixels, int block, char* pixel) {
    store_all<RealLanes>(layer, values, step, pixels, block, pixel);
  }
  static void quantize_parts(const Layer& layer, const void* constants,
                             int64_t first, int pixels, void* scratch,
                             char* pixel) {
    if (PartsQuantize<RealLanes>::supports(layer)) {
      PartsQuantize<RealLanes>::quantize(layer, constants, first, pixels,
                                         scratch, pixel);
    } else {
      CopiedParts<VectorQuantize>::quantize_parts(layer, constants, first,
                                                  pixels, scratch, pixel);
    }
  }
  static size_t scratch_bytes(const Layer& layer) {
    return std::max(quantize_scratch_bytes(layer),
                    PartsQuantize<RealLanes>::scratch_bytes(layer));
  }

 private:
  template <class Lanes>
  AQE_TARGET static void store_all(const Layer& layer,
                                   const typename Lanes::Acc* values,
                                   int64_t step, int pixels, int block,
                                   char* pixel) {
    switch (layer.output) {
      case Type::kPacked1:
        return pack<Lanes, 1>(layer, values, step, pixels, block, pixel);
      case Type::kPacked2:
        return pack<Lanes, 2>(layer, values, step, pixels, block, pixel);
      case Type::kPacked3:
        return pack<Lanes, 3>(layer, values, step, pixels, block, pixel);
      default:
        break;
    }
    if (layer.output == Type::kInt8 && !layer.rounds()) {
      switch (layer.code_bits) {
        case 1:
          return count<Lanes, 1>(layer, values, step, pixels, block, pixel);
        case 2:
          return count<Lanes, 3>(layer, values, step, pixels, block, pixel);
        case 3:
          return count<Lanes, 7>(layer, values, step, pixels, block, pixel);
        default:
          break;
      }
    }
    const int64_t bytes = pixel_bytes(layer.output, layer.out_channels);
    for (int i = 0; i < pixels; ++i, values += step, pixel += bytes)
      store<Lanes>(layer, values, block, pixel);
  }

  // As many registers as the block fills.
  template <class Lanes, int kBits, int kVectors = 1>
  AQE_TARGET static void pack(const Layer& layer,
                              const typename Lanes::Acc* values, int64_t step,
                              int pixels, int block, char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    if constexpr (kVectors < kBlock / kLanes) {
      if (count > kVectors * kLanes) {
        return pack<Lanes, kBits, kVectors + 1>(layer, values, step, pixels,
                                                block, pixel);
      }
    }
    const FewThresholds<Lanes, kBits, kVectors> codes(layer, block, count);
    const int64_t bytes = pixel_bytes(layer.output, layer.out_channels);
    pixel += int64_t{8} * block * kBits;
    for (int i = 0; i < pixels; ++i) {
      typename Lanes::Vector some[kVectors];
      for (int v = 0; v < kVectors; ++v)
        some[v] = Lanes::Set::load(codes.some(v), values + v * kLanes);
      codes.store(some, pixel);
      values += step;
      pixel += bytes;
    }
  }

  // Codes of 8 bits, for few thresholds, which stay in registers.
  template <class Lanes, int kThresholds>
  AQE_TARGET static void count(const Layer& layer,
                               const typename Lanes::Acc* values, int64_t step,
                               int pixels, int block, char* pixel) {
    using Set = typename Lanes::Set;
    const int first = block * kBlock;
    const int channels = channels_in_block(layer.out_channels, block);
    const typename Set::Directions directions(layer, first, channels);
    const auto* thresholds = thresholds_of(layer, values) + first;
    const auto first_code = Set::set(layer.first_code);
    for (int c = 0; c < channels; c += kLanes) {
      const typename Set::Some some(channels - c);
      const auto direction = directions.at(c);
      typename Lanes::Vector own[kThresholds];
      for (int k = 0; k < kThresholds; ++k) {
        own[k] =
            Set::load(some, thresholds + int64_t{k} * layer.out_channels + c);
      }
      const auto* from = values + c;
      auto* to = reinterpret_cast<int8_t*>(pixel) + first + c;
      for (int i = 0; i < pixels; ++i) {
        const auto value = Lanes::turn(Set::load(some, from), direction);
        auto code = first_code;
        for (int k = 0; k < kThresholds; ++k)
          code = Set::add_passed(code, Lanes::compare(some, value, own[k]), 1);
        Set::store_bytes(channels - c, code, to);
        from += step;
        to += layer.out_channels;
      }
    }
  }

  template <class Lanes>
  AQE_TARGET static void store(const Layer& layer,
                               const typename Lanes::Acc* values, int block,
                               char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    if (count == kBlock) {
      VectorOutput<Lanes>::store(layer, nullptr, values, block, pixel);
      return;
    }
    typename Lanes::Acc acc[kBlock] = {};
    Lanes::Set::copy_words(values, count, acc);
    VectorOutput<Lanes>::store(layer, nullptr, acc, block, pixel);
  }
};

template <class IntLanes, class RealLanes>
constexpr Kernel quantize_kernel(const char* name, uint32_t features) {
  return {name,
          Operator::kQuantize,
          width_set(Type::kFloat32, Type::kInt32),
          width_set(0),
          features,
          kQuantizedPixels,
          kBlock,
          nullptr,
          PartsQuantize<RealLanes>::constants_bytes,
          PartsQuantize<RealLanes>::pack,
          VectorQuantize<IntLanes, RealLanes>::scratch_bytes,
          quantize_units,
          run_quantize<VectorQuantize<IntLanes, RealLanes>>};
}

}  // namespace aqe
