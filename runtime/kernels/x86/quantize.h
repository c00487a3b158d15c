// Quantize with the vectors of an instruction set, whose header comes first.
#pragma once

#include "kernels/loops/quantize.h"
#include "kernels/x86/output.h"

namespace aqe {

template <class IntLanes, class RealLanes>
struct VectorQuantize {
  static void quantize(const Layer& layer, const void*, const int32_t* values,
                       int block, char* pixel) {
    store<IntLanes>(layer, values, block, pixel);
  }
  static void quantize(const Layer& layer, const void*, const float* values,
                       int block, char* pixel) {
    store<RealLanes>(layer, values, block, pixel);
  }

 private:
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
          row_block_units,
          run_quantize<VectorQuantize<IntLanes, RealLanes>>};
}

}  // namespace aqe
