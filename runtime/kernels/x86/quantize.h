// Quantize with the vectors of an instruction set, whose header comes first.
#pragma once

#include "kernels/loops/quantize.h"
#include "kernels/x86/output.h"

namespace aqe {

template <class IntLanes, class RealLanes>
struct VectorQuantize {
  static void quantize(const Layer& layer, const void*, const int32_t* values,
                       int pixels, int block, char* pixel) {
    store_all<IntLanes>(layer, values, pixels, block, pixel);
  }
  static void quantize(const Layer& layer, const void*, const float* values,
                       int pixels, int block, char* pixel) {
    store_all<RealLanes>(layer, values, pixels, block, pixel);
  }

 private:
  template <class Lanes>
  AQE_TARGET static void store_all(const Layer& layer,
                                   const typename Lanes::Acc* values,
                                   int pixels, int block, char* pixel) {
    switch (layer.output) {
      case Type::kPacked1:
        return pack<Lanes, 1>(layer, values, pixels, block, pixel);
      case Type::kPacked2:
        return pack<Lanes, 2>(layer, values, pixels, block, pixel);
      case Type::kPacked3:
        return pack<Lanes, 3>(layer, values, pixels, block, pixel);
      default:
        break;
    }
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    for (int i = 0; i < pixels; ++i) {
      store<Lanes>(layer, values + int64_t{i} * layer.in_channels, block,
                   pixel + i * step);
    }
  }

  // As many registers as the block fills.
  template <class Lanes, int kBits, int kVectors = 1>
  AQE_TARGET static void pack(const Layer& layer,
                              const typename Lanes::Acc* values, int pixels,
                              int block, char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    if constexpr (kVectors < kBlock / kLanes) {
      if (count > kVectors * kLanes) {
        return pack<Lanes, kBits, kVectors + 1>(layer, values, pixels, block,
                                                pixel);
      }
    }
    const FewThresholds<Lanes, kBits, kVectors> codes(layer, block, count);
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    pixel += int64_t{8} * block * kBits;
    for (int i = 0; i < pixels; ++i) {
      typename Lanes::Vector some[kVectors];
      for (int v = 0; v < kVectors; ++v)
        some[v] = Lanes::Set::load(codes.some(v), values + v * kLanes);
      codes.store(some, pixel);
      values += layer.in_channels;
      pixel += step;
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
          1,
          kBlock,
          nullptr,
          no_bytes,
          no_constants,
          no_bytes,
          quantize_units,
          run_quantize<VectorQuantize<IntLanes, RealLanes>>};
}

}  // namespace aqe
