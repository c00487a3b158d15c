// Blocks of 64 codes with the vectors of an instruction set, whose header comes
// first, for the loops over depthwise convolutions, pools and dequantize.
#pragma once

#include "kernels/loops/code_blocks.h"
#include "kernels/loops/depthwise.h"
#include "kernels/loops/depthwise_bytes.h"
#include "kernels/loops/depthwise_planes.h"
#include "kernels/loops/max_pool.h"
#include "kernels/x86/bytes.h"
#include "kernels/x86/output.h"

namespace aqe {

// `Decode::block(input, codes, count, to)` writes 64 codes as int16, from the
// words of a block or its first `count` bytes.
template <class IntLanes, class RealLanes, class Decode>
struct CodeBlocks {
  static constexpr int kVectorBytes = kBytes;

  static size_t output_bytes(const Layer&) { return 0; }
  static void pack_output(const Layer&, void*) {}

  AQE_TARGET static void decode(const Layer& layer, const char* pixel,
                                int block, int16_t* codes) {
    Decode::block(layer.input, block_at(layer.input, pixel, block),
                  channels_in_block(layer.in_channels, block), codes);
  }

  AQE_TARGET static void store(const Layer& layer, const void* constants,
                               const int32_t* sums, int block, char* pixel) {
    VectorOutput<IntLanes>::store(layer, constants, sums, block, pixel);
  }
  AQE_TARGET static void store(const Layer& layer, const void* constants,
                               const float* values, int block, char* pixel) {
    VectorOutput<RealLanes>::store(layer, constants, values, block, pixel);
  }
};

}  // namespace aqe
