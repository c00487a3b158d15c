#include "reference/common.h"
#include "reference/reference.h"

namespace aqe::reference {
namespace {

// Accumulator of output channel o at one position of the convolution, of input
// channels [first, first + channels).
template <class Acc>
Acc accumulate(const Layer& layer, const void* input, int n, int y, int x,
               int o, int first, int channels) {
  Acc acc = 0;
  for_each_tap(
      layer.window, y, x, [&](int64_t tap, int64_t in_y, int64_t in_x) {
        const bool is_inside =
            inside(in_y, in_x, layer.in_height, layer.in_width);
        if (!is_inside && layer.pad_value == 0) return;
        const int64_t pixel =
            (int64_t{n} * layer.in_height + in_y) * layer.in_width + in_x;
        for (int c = 0; c < channels; ++c) {
          const Acc value =
              is_inside ? input_value<Acc>(layer, input, pixel, first + c)
                        : static_cast<Acc>(layer.pad_value);
          acc += value *
                 static_cast<Acc>(weight_code(layer, o, tap * channels + c));
        }
      });
  return acc;
}

template <class Acc>
void conv(const Layer& layer, const void* input, void* output) {
  clear_output(layer, output);
  for_each_output(layer, [&](int64_t pixel, int n, int y, int x, int o) {
    const int channels = layer.group_channels();
    const int first = o / (layer.out_channels / layer.groups) * channels;
    if (!layer.has_pool) {
      store(layer, output, pixel, o,
            accumulate<Acc>(layer, input, n, y, x, o, first, channels));
      return;
    }
    bool is_first = true;
    Acc best = 0;
    for_each_tap(
        layer.pool, y, x, [&](int64_t, int64_t conv_y, int64_t conv_x) {
          if (!inside(conv_y, conv_x, layer.conv_height, layer.conv_width))
            return;
          const Acc acc =
              accumulate<Acc>(layer, input, n, static_cast<int>(conv_y),
                              static_cast<int>(conv_x), o, first, channels);
          if (is_first || acc > best) best = acc;
          is_first = false;
        });
    store(layer, output, pixel, o, best);
  });
}

}  // namespace

void conv_2d(const Layer& layer, const void* input, void* output) {
  layer.float_accumulator() ? conv<float>(layer, input, output)
                            : conv<int32_t>(layer, input, output);
}

// One group for each input channel.
void depthwise_conv_2d(const Layer& layer, const void* input, void* output) {
  conv_2d(layer, input, output);
}

// The window is the whole input.
void fully_connected(const Layer& layer, const void* input, void* output) {
  conv_2d(layer, input, output);
}

}  // namespace aqe::reference
