#include "reference/reference.h"

namespace aqe::reference {

void run(const Layer& layer, const void* input, void* output) {
  switch (layer.op) {
    case Operator::kConv2D:
      return conv_2d(layer, input, output);
    case Operator::kDepthwiseConv2D:
      return depthwise_conv_2d(layer, input, output);
    case Operator::kFullyConnected:
      return fully_connected(layer, input, output);
    case Operator::kMaxPool2D:
      return max_pool_2d(layer, input, output);
    case Operator::kAveragePool2D:
      return average_pool_2d(layer, input, output);
    case Operator::kQuantize:
      return quantize(layer, input, output);
    case Operator::kDequantize:
      return dequantize(layer, input, output);
  }
}

}  // namespace aqe::reference
