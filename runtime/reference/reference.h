// The definition of every operator as plain loops: docs/format.md in C++.
// Kernels are tested against these.
#pragma once

#include "keras_aqe/layer.h"

namespace aqe::reference {

void conv_2d(const Layer& layer, const void* input, void* output);
void depthwise_conv_2d(const Layer& layer, const void* input, void* output);
void fully_connected(const Layer& layer, const void* input, void* output);
void max_pool_2d(const Layer& layer, const void* input, void* output);
void average_pool_2d(const Layer& layer, const void* input, void* output);
void quantize(const Layer& layer, const void* input, void* output);
void dequantize(const Layer& layer, const void* input, void* output);

// The one of layer.op.
void run(const Layer& layer, const void* input, void* output);

}  // namespace aqe::reference
