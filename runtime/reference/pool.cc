#include "reference/common.h"
#include "reference/reference.h"

namespace aqe::reference {

void max_pool_2d(const Layer& layer, const void* input, void* output) {
  clear_output(layer, output);
  for_each_output(layer, [&](int64_t pixel, int n, int y, int x, int c) {
    int best = -max_code(bits(layer.input));
    for_each_tap(layer.window, y, x, [&](int64_t, int64_t in_y, int64_t in_x) {
      if (!inside(in_y, in_x, layer.in_height, layer.in_width)) return;
      const int64_t in_pixel =
          (int64_t{n} * layer.in_height + in_y) * layer.in_width + in_x;
      const int code = input_value<int>(layer, input, in_pixel, c);
      if (code > best) best = code;
    });
    char* start = static_cast<char*>(output) +
                  pixel * pixel_bytes(layer.output, layer.out_channels);
    store_code(layer.output, start, c, best);
  });
}

void average_pool_2d(const Layer& layer, const void* input, void* output) {
  clear_output(layer, output);
  for_each_output(layer, [&](int64_t pixel, int n, int y, int x, int c) {
    int32_t sum = 0;
    int32_t count = 0;
    for_each_tap(layer.window, y, x, [&](int64_t, int64_t in_y, int64_t in_x) {
      if (!inside(in_y, in_x, layer.in_height, layer.in_width)) return;
      const int64_t in_pixel =
          (int64_t{n} * layer.in_height + in_y) * layer.in_width + in_x;
      sum += input_value<int32_t>(layer, input, in_pixel, c);
      ++count;
    });
    if (layer.scale != nullptr) {
      store(layer, output, pixel, c,
            static_cast<float>(sum) / static_cast<float>(count));
    } else {
      store(layer, output, pixel, c, sum);
    }
  });
}

}  // namespace aqe::reference
