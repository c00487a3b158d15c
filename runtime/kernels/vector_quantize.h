// Quantize with the vectors of an instruction set, whose header comes first.
#pragma once

#include "keras_aqe/kernel.h"
#include "kernels/tiles.h"

namespace aqe {

template <class Lanes>
AQE_TARGET void quantize_block(const Layer& layer, const void* values,
                               int block, char* pixel) {
  using Acc = typename Lanes::Acc;
  const int count = channels_in_block(layer.out_channels, block);
  if (count == kBlock) {
    VectorOutput<Lanes>::store(layer, static_cast<const Acc*>(values), block,
                               pixel);
    return;
  }
  Acc acc[kBlock] = {};
  Lanes::Set::copy_words(values, count, acc);
  VectorOutput<Lanes>::store(layer, acc, block, pixel);
}

template <class IntLanes, class RealLanes>
AQE_TARGET void run_quantize(const Layer& layer, const void*, const void* input,
                             void* output, void*, int64_t begin, int64_t end) {
  const auto quantize = layer.input == Type::kInt32 ? quantize_block<IntLanes>
                                                    : quantize_block<RealLanes>;
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    for (int x = 0; x < layer.out_width; ++x) {
      const int64_t pixel = at.first_pixel + x;
      quantize(layer,
               pixel_at(layer.input, layer.in_channels, input, pixel) +
                   int64_t{4} * at.block * kBlock,
               at.block,
               pixel_at(layer.output, layer.out_channels, output, pixel));
    }
  }
}

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
          run_quantize<IntLanes, RealLanes>};
}

}  // namespace aqe
