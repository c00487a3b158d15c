// What a kernel needs to know of one operator: shapes, widths and constants.
// The meaning of every field is docs/format.md's.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

namespace aqe {

enum class Operator : uint8_t {
  kConv2D,
  kDepthwiseConv2D,
  kFullyConnected,
  kMaxPool2D,
  kAveragePool2D,
  kQuantize,
  kDequantize,
};

constexpr bool is_convolution(Operator op) {
  return op == Operator::kConv2D || op == Operator::kDepthwiseConv2D;
}
constexpr bool is_pooling(Operator op) {
  return op == Operator::kMaxPool2D || op == Operator::kAveragePool2D;
}
constexpr bool has_weights(Operator op) {
  return is_convolution(op) || op == Operator::kFullyConnected;
}

// Whether sums or floats go through the output stage; others move codes.
constexpr bool has_output_stage(Operator op) {
  return op != Operator::kMaxPool2D && op != Operator::kDequantize;
}

// How a tensor's values are stored. The packed types equal their number of
// bits.
enum class Type : uint8_t {
  kPacked1 = 1,
  kPacked2 = 2,
  kPacked3 = 3,
  kPacked4 = 4,
  kInt8 = 8,  // 8-bit codes
  kFloat32,
  kUInt8,  // an image; Layer::input_scale and input_offset make it float
  kInt32,
};

constexpr bool is_packed(Type type) { return type <= Type::kPacked4; }
constexpr bool is_code(Type type) { return type <= Type::kInt8; }

// Planes of a packed type, bits of a code.
constexpr int bits(Type type) { return static_cast<int>(type); }

// 64-bit words of one plane of one pixel.
constexpr int words(int channels) { return (channels + 63) / 64; }

// Elements of one pixel: words of all planes, or one for each channel.
constexpr int64_t pixel_elements(Type type, int channels) {
  return is_packed(type) ? int64_t{words(channels)} * bits(type) : channels;
}

constexpr int element_bytes(Type type) {
  if (is_packed(type)) return 8;
  return type == Type::kFloat32 || type == Type::kInt32 ? 4 : 1;
}

constexpr int64_t pixel_bytes(Type type, int channels) {
  return pixel_elements(type, channels) * element_bytes(type);
}

// Thresholds of one channel: number of codes less one.
constexpr int threshold_count(Type type) {
  return type == Type::kPacked1 ? 1
                                : (1 << bits(type)) - (is_packed(type) ? 2 : 1);
}

// Greatest magnitude of a code of so many bits.
constexpr int max_code(int bits) {
  assert((bits >= 1 && bits <= 4) || bits == 8);
  return bits == 8 ? 128 : bits == 1 ? 1 : 1 << ((1 << (bits - 1)) - 2);
}

// A window sliding over rows and columns. `pad_*` stand before the first row
// and column; what stands after the last follows from the sizes.
struct Window {
  int height = 1, width = 1;
  int stride_y = 1, stride_x = 1;
  int dilation_y = 1, dilation_x = 1;
  int pad_top = 0, pad_left = 0;
};

// Some of the channels of an input that is several tensors.
struct Part {
  int channels = 0;
  const float* values = nullptr;  // of one run
};

struct Layer;

// What becomes of float output while it is at hand: the addend is added to it,
// the result is limited, and codes are made of that.
struct Sum {
  bool has_addend = false;
  bool has_limits = false;
  float low = 0, high = 0;
  const Layer* quantizers = nullptr;  // each an AqeQuantize of the result
  int quantizer_count = 0;

  // Tensors of one run: the first two null where there are none; then each
  // quantizer's.
  const float* addend = nullptr;
  float* floats = nullptr;
  void* const* codes = nullptr;

  // Not a number stays what it is.
  float limit(float value) const {
    return value < low ? low : value > high ? high : value;
  }
  // What a kernel is given for its output: where floats are or would be, of
  // which it tells pixels apart. Of codes alone no float is there.
  const void* place() const {
    if (floats != nullptr) return floats;
    return has_addend ? static_cast<const void*>(addend) : codes[0];
  }
};

// One operator. A dense layer is the convolution whose window is its whole
// input: in_height * in_width counts its pixels (in_width alone, in_height =
// 1), the window has the same size, and the output is 1 x 1. A depthwise
// convolution has one group for each input channel. Quantize and dequantize
// have a 1 x 1 window.
struct Layer {
  Operator op = Operator::kConv2D;

  int batch = 1;
  int in_height = 1, in_width = 1, in_channels = 1;
  int conv_height = 1, conv_width = 1;  // before pooling
  int out_height = 1, out_width = 1, out_channels = 1;

  Window window;          // of the convolution, or of a pooling operator
  bool has_pool = false;  // convolution only: max pool of the accumulators
  Window pool;
  int groups = 1;
  int pad_value = 0;

  Type input = Type::kPacked1;
  int weight_bits = 0;  // 0: no weights
  Type output = Type::kPacked1;

  // Weights as they stand in the file, any alignment; plane p starts at weights
  // + p * weight_plane_bytes.
  const uint8_t* weights = nullptr;
  size_t weight_plane_bytes = 0;

  // 8-bit codes by thresholds: 2^code_bits of them, from the first on.
  int code_bits = 8;
  int first_code = -128;

  // Code output: [levels][out_channels], one of the two; direction
  // [out_channels].
  const int32_t* thresholds = nullptr;
  const float* float_thresholds = nullptr;
  const int8_t* direction = nullptr;

  // Float output, or codes by rounding: [out_channels]; offset may be null.
  const float* offset = nullptr;
  const float* scale = nullptr;
  const float* bias = nullptr;

  // Float output only.
  Sum sum;

  // Quantize of several tensors: whose channels, one tensor's after the
  // other's, are those of the input. Of one: null.
  const Part* parts = nullptr;
  int part_count = 1;

  // kUInt8 input: [in_channels].
  const float* input_scale = nullptr;
  const float* input_offset = nullptr;

  // Thresholds of one channel of the output.
  int levels() const {
    return output == Type::kInt8 ? (1 << code_bits) - 1
                                 : threshold_count(output);
  }
  // Whether the code is the nearest integer to what float output would be.
  bool rounds() const { return output == Type::kInt8 && scale != nullptr; }
  // Whether more is done with float output than to write it.
  bool sums() const {
    return sum.has_addend || sum.has_limits || sum.quantizer_count != 0;
  }
  bool float_accumulator() const {
    return input == Type::kFloat32 || input == Type::kUInt8;
  }
  int group_channels() const { return in_channels / groups; }
  // Weights of one output channel.
  int64_t weights_per_output() const {
    return int64_t{window.height} * window.width * group_channels();
  }
  int64_t in_pixels() const { return int64_t{batch} * in_height * in_width; }
  int64_t out_pixels() const { return int64_t{batch} * out_height * out_width; }
};

}  // namespace aqe
