// Of a PreparedLayer, the windows: their sizes, and where padding puts them.
#include "keras_aqe/limits.h"
#include "prepared_layer.h"
#include "tensor_checks.h"

namespace aqe {
namespace {

// One axis of a window: how many outputs, and the padding before the first.
struct Placement {
  int out, pad;
};

enum Padding { kValid = 0, kSame = 1, kExplicit = 2 };

Placement place(int in, int size, int stride, int dilation, int padding,
                int before, int after, const char* axis) {
  const int64_t extent = int64_t{size - 1} * dilation + 1;
  if (2 * extent + in > kMaxSize)
    throw FormatError(std::string("the window's ") + axis + " is too large");
  if (padding == kSame) {
    const int64_t out = (int64_t{in} + stride - 1) / stride;
    const int64_t total = (out - 1) * stride + extent - in;
    return {static_cast<int>(out), total > 0 ? static_cast<int>(total / 2) : 0};
  }
  if (before >= extent || after >= extent) {
    throw FormatError(std::string("the padding of the ") + axis +
                      " must be smaller than the window, " + text(extent));
  }
  const int64_t padded = int64_t{in} + before + after;
  if (extent > padded) {
    throw FormatError(std::string("the window's ") + axis + ", " +
                      text(extent) + ", is larger than the padded input's, " +
                      text(padded));
  }
  return {static_cast<int>((padded - extent) / stride) + 1, before};
}

}  // namespace

void PreparedLayer::read_windows(const Options& options) {
  Window& window = layer.window;
  const auto size = [&](const std::string& name) {
    return options.get(name, 1, kMaxWindow);
  };
  const auto pool = [&](Window* to, int in_height, int in_width,
                        int* out_height, int* out_width) {
    to->height = size("pool_height");
    to->width = size("pool_width");
    to->stride_y = size("pool_stride_height");
    to->stride_x = size("pool_stride_width");
    const int padding = options.get("pool_padding", kValid, kSame);
    const Placement y =
        place(in_height, to->height, to->stride_y, 1, padding, 0, 0, "height");
    const Placement x =
        place(in_width, to->width, to->stride_x, 1, padding, 0, 0, "width");
    to->pad_top = y.pad;
    to->pad_left = x.pad;
    *out_height = y.out;
    *out_width = x.out;
  };

  if (is_convolution(layer.op)) {
    window.height = size("kernel_height");
    window.width = size("kernel_width");
    window.stride_y = size("stride_height");
    window.stride_x = size("stride_width");
    window.dilation_y = size("dilation_height");
    window.dilation_x = size("dilation_width");
    const int padding = options.get("padding", kValid, kExplicit);
    const auto pad = [&](const char* name) {
      return padding == kExplicit ? options.get(name, 0, INT32_MAX) : 0;
    };
    const int top = pad("pad_top"), bottom = pad("pad_bottom"),
              left = pad("pad_left"), right = pad("pad_right");
    const Placement y =
        place(layer.in_height, window.height, window.stride_y,
              window.dilation_y, padding, top, bottom, "height");
    const Placement x = place(layer.in_width, window.width, window.stride_x,
                              window.dilation_x, padding, left, right, "width");
    window.pad_top = y.pad;
    window.pad_left = x.pad;
    layer.conv_height = layer.out_height = y.out;
    layer.conv_width = layer.out_width = x.out;
    layer.pad_value =
        options.get_or("pad_value", 0, kMinPadValue, kMaxPadValue);
  } else if (layer.op == Operator::kFullyConnected) {
    window.width = layer.in_width;
  } else if (is_pooling(layer.op)) {
    pool(&window, layer.in_height, layer.in_width, &layer.out_height,
         &layer.out_width);
  } else {
    layer.out_width = layer.in_width;
  }

  if (layer.op == Operator::kConv2D) {
    for (const char* name : {"pool_height", "pool_width", "pool_stride_height",
                             "pool_stride_width", "pool_padding"}) {
      layer.has_pool |= options.has(name);
    }
    if (layer.has_pool)
      pool(&layer.pool, layer.conv_height, layer.conv_width, &layer.out_height,
           &layer.out_width);
  }
}

}  // namespace aqe
