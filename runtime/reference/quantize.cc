#include "reference/common.h"
#include "reference/reference.h"

namespace aqe::reference {
namespace {

float value_of_parts(const Layer& layer, int64_t pixel, int c) {
  const Part* part = layer.parts;
  for (; c >= part->channels; ++part) c -= part->channels;
  return part->values[pixel * part->channels + c];
}

}  // namespace

void quantize(const Layer& layer, const void* input, void* output) {
  clear_output(layer, output);
  for_each_output(layer, [&](int64_t pixel, int, int, int, int c) {
    if (layer.parts != nullptr) {
      store(layer, output, pixel, c, value_of_parts(layer, pixel, c));
    } else if (layer.input == Type::kInt32) {
      store(layer, output, pixel, c,
            input_value<int32_t>(layer, input, pixel, c));
    } else {
      store(layer, output, pixel, c,
            input_value<float>(layer, input, pixel, c));
    }
  });
}

void dequantize(const Layer& layer, const void* input, void* output) {
  clear_output(layer, output);
  for_each_output(layer, [&](int64_t pixel, int, int, int, int c) {
    const int code = input_value<int>(layer, input, pixel, c);
    if (layer.output == Type::kInt8) {
      static_cast<int8_t*>(output)[pixel * layer.out_channels + c] =
          static_cast<int8_t>(code);
    } else {
      store(layer, output, pixel, c, code);
    }
  });
}

}  // namespace aqe::reference
