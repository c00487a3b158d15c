// Depthwise convolutions with the vectors of an instruction set, whose header
// comes first.
#pragma once

#include "kernels/loops/depthwise.h"
#include "kernels/x86/bytes.h"
#include "kernels/x86/output.h"

namespace aqe {

template <class Lanes>
struct VectorRows : VectorOutput<Lanes> {
  AQE_TARGET static void decode(const Layer& layer, const char* pixel,
                                int block, int16_t* codes) {
    alignas(64) uint8_t raised[kBlock + 32] = {};
    Lanes::Set::decode_pixel(
        layer.input,
        pixel + (layer.input == Type::kInt8 ? kBlock : 8 * bits(layer.input)) *
                    int64_t{block},
        channels_in_block(layer.in_channels, block),
        reinterpret_cast<char*>(raised));
    const int raise = raise_of(layer.input);
    for (int i = 0; i < kBlock; ++i)
      codes[i] = static_cast<int16_t>(raised[i] - raise);
  }
};

}  // namespace aqe
