#include "prepared_layer.h"

#include <cstring>
#include <initializer_list>

#include "keras_aqe/codes.h"
#include "keras_aqe/limits.h"

namespace aqe {
namespace {

constexpr int kFormat = 1;

struct NamedOperator {
  const char* name;
  Operator op;
};

constexpr NamedOperator kOperators[] = {
    {"AqeConv2D", Operator::kConv2D},
    {"AqeDepthwiseConv2D", Operator::kDepthwiseConv2D},
    {"AqeFullyConnected", Operator::kFullyConnected},
    {"AqeMaxPool2D", Operator::kMaxPool2D},
    {"AqeAveragePool2D", Operator::kAveragePool2D},
    {"AqeQuantize", Operator::kQuantize},
    {"AqeDequantize", Operator::kDequantize},
};

std::string text(int64_t value) { return std::to_string(value); }

std::string shape_text(const tflite::Tensor& tensor) {
  std::string shape = "[";
  for (int i = 0; i < tensor.dims->size; ++i)
    shape += (i ? ", " : "") + text(tensor.dims->data[i]);
  return shape + "]";
}

int64_t product(std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (const int64_t factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result))
      throw FormatError("its sizes are too large to compute with");
  }
  return result;
}

// Bytes of a tensor, which interpreters count in at most 31 bits.
size_t tensor_bytes(Type type, int64_t pixels, int channels) {
  const int64_t bytes = product({pixels, pixel_bytes(type, channels)});
  if (bytes > kMaxTensorBytes)
    throw FormatError("a tensor of " + text(bytes) +
                      " bytes is larger than 2 GiB");
  return static_cast<size_t>(bytes);
}

tflite::TensorType stored_as(Type type) {
  switch (type) {
    case Type::kInt8:
      return tflite::kInt8;
    case Type::kFloat32:
      return tflite::kFloat32;
    case Type::kUInt8:
      return tflite::kUInt8;
    case Type::kInt32:
      return tflite::kInt32;
    default:
      return tflite::kInt64;
  }
}

const char* type_name(tflite::TensorType type) {
  switch (type) {
    case tflite::kFloat32:
      return "FLOAT32";
    case tflite::kInt32:
      return "INT32";
    case tflite::kUInt8:
      return "UINT8";
    case tflite::kInt64:
      return "INT64";
    case tflite::kInt8:
      return "INT8";
  }
  return "of another type";
}

void check_type(const char* name, const tflite::Tensor& tensor,
                tflite::TensorType expected) {
  if (tensor.type != expected) {
    throw FormatError(std::string(name) + " must be " + type_name(expected) +
                      ", but is " + type_name(tensor.type));
  }
}

// The type that so many bits in a tensor stand for.
Type type_of_bits(const char* name, const tflite::Tensor& tensor, int bits) {
  if (bits == 1 || bits == 2 || bits == 3 || bits == 4 || bits == 8)
    return static_cast<Type>(bits);
  if (bits != 32)
    throw FormatError(std::string(name) +
                      "_bits must be 1, 2, 3, 4, 8 or 32, but is " +
                      text(bits));
  if (tensor.type == tflite::kFloat32) return Type::kFloat32;
  if (tensor.type == tflite::kUInt8) return Type::kUInt8;
  if (tensor.type == tflite::kInt32) return Type::kInt32;
  throw FormatError(std::string(name) + " of 32 bits cannot be " +
                    type_name(tensor.type));
}

const tflite::Tensor& required(
    const std::vector<const tflite::Tensor*>& tensors, size_t index,
    const char* name) {
  if (index >= tensors.size() || tensors[index] == nullptr) {
    throw FormatError(std::string("input ") +
                      text(static_cast<int64_t>(index)) + " (" + name +
                      ") is missing");
  }
  return *tensors[index];
}

// Bytes of a constant, after checking that it is one and has so many elements.
template <class T>
std::vector<T> read_constant(const char* name, const tflite::Tensor& tensor,
                             tflite::TensorType type, int64_t count) {
  check_type(name, tensor, type);
  if (tensor.allocation_type != tflite::kReadOnly || tensor.data == nullptr) {
    throw FormatError(std::string(name) + " must be a constant");
  }
  if (static_cast<int64_t>(tensor.bytes) != product({count, sizeof(T)})) {
    throw FormatError(std::string(name) + " must hold " + text(count) +
                      " elements, but its shape is " + shape_text(tensor));
  }
  std::vector<T> values(static_cast<size_t>(count));
  std::memcpy(values.data(), tensor.data, tensor.bytes);
  return values;
}

template <class T>
void check_ascending(const std::vector<T>& thresholds, int channels) {
  for (size_t i = channels; i < thresholds.size(); ++i) {
    if (!(thresholds[i - channels] <= thresholds[i])) {
      throw FormatError("thresholds of channel " +
                        text(static_cast<int64_t>(i) % channels) +
                        " do not ascend");
    }
  }
}

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

bool is_convolution(Operator op) {
  return op == Operator::kConv2D || op == Operator::kDepthwiseConv2D;
}
bool is_pooling(Operator op) {
  return op == Operator::kMaxPool2D || op == Operator::kAveragePool2D;
}
bool has_weights(Operator op) {
  return is_convolution(op) || op == Operator::kFullyConnected;
}

}  // namespace

bool find_operator(const char* name, Operator* op) {
  for (const NamedOperator& known : kOperators) {
    if (name != nullptr && std::strcmp(name, known.name) == 0) {
      *op = known.op;
      return true;
    }
  }
  return false;
}

PreparedLayer::PreparedLayer(Operator op, const Options& options,
                             const std::vector<const tflite::Tensor*>& tensors,
                             const tflite::Tensor& output) {
  layer.op = op;
  const int format = options.get("format", 1, INT32_MAX);
  if (format > kFormat) {
    throw FormatError("the file has format version " + text(format) +
                      ", this runtime reads versions up to " + text(kFormat) +
                      "; update keras-aqe");
  }
  read_input(options, tensors);
  read_windows(options);
  read_outputs(options, output);
  read_constants(options, tensors);
  check_accumulator();
}

void PreparedLayer::read_input(
    const Options& options, const std::vector<const tflite::Tensor*>& tensors) {
  const tflite::Tensor& input = required(tensors, 0, "input");
  layer.in_channels = options.get("input_channels", 1, kMaxChannels);
  layer.input = type_of_bits(
      "input", input,
      layer.op == Operator::kQuantize ? 32 : options.get("input_bits", 1, 32));
  const bool accepted =
      layer.input == Type::kFloat32
          ? has_weights(layer.op) || layer.op == Operator::kQuantize
      : layer.input == Type::kInt32 ? layer.op == Operator::kQuantize
      : layer.input == Type::kUInt8 ? layer.op == Operator::kConv2D
                                    : true;
  if (!accepted)
    throw FormatError(std::string("it does not take ") + type_name(input.type) +
                      " input");
  check_type("input", input, stored_as(layer.input));

  const bool is_image = is_convolution(layer.op) || is_pooling(layer.op);
  const int rank = input.dims->size;
  if (is_image ? rank != 4 : rank < 2) {
    throw FormatError(std::string("input must have ") +
                      (is_image ? "4 dimensions" : "2 dimensions or more") +
                      ", but its shape is " + shape_text(input));
  }
  int64_t pixels = 1;
  for (int i = 0; i < rank; ++i) {
    if (input.dims->data[i] < 1)
      throw FormatError("input is empty: its shape is " + shape_text(input));
    if (i > 0 && i < rank - 1) pixels = product({pixels, input.dims->data[i]});
  }
  if (input.dims->data[rank - 1] !=
      pixel_elements(layer.input, layer.in_channels)) {
    throw FormatError("the last dimension of input must be " +
                      text(pixel_elements(layer.input, layer.in_channels)) +
                      " for " + text(layer.in_channels) +
                      " channels, but its shape is " + shape_text(input));
  }
  if (pixels > kMaxSize)
    throw FormatError("input is too large: its shape is " + shape_text(input));
  layer.batch = input.dims->data[0];
  layer.in_height = is_image ? input.dims->data[1] : 1;
  layer.in_width = is_image ? input.dims->data[2] : static_cast<int>(pixels);
  input_bytes = tensor_bytes(layer.input, layer.in_pixels(), layer.in_channels);
  output_shape.assign(input.dims->data, input.dims->data + rank);
}

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

void PreparedLayer::read_outputs(const Options& options,
                                 const tflite::Tensor& output) {
  if (layer.op == Operator::kConv2D) {
    layer.out_channels = options.get("output_channels", 1, kMaxChannels);
    layer.groups = options.get_or("groups", 1, 1, kMaxChannels);
    if (layer.in_channels % layer.groups != 0 ||
        layer.out_channels % layer.groups != 0) {
      throw FormatError(
          "groups must divide input_channels and output_channels, but it is " +
          text(layer.groups));
    }
  } else if (layer.op == Operator::kDepthwiseConv2D) {
    layer.groups = layer.in_channels;
    layer.out_channels = static_cast<int>(product(
        {layer.in_channels, options.get("depth_multiplier", 1,
                                        kMaxChannels / layer.in_channels)}));
  } else if (layer.op == Operator::kFullyConnected) {
    layer.out_channels = options.get("output_channels", 1, kMaxChannels);
  } else {
    layer.out_channels = layer.in_channels;
  }

  if (layer.op == Operator::kMaxPool2D) {
    layer.output = layer.input;
  } else if (layer.op == Operator::kDequantize) {
    layer.output = output.type == tflite::kInt8 ? Type::kInt8 : Type::kFloat32;
  } else {
    layer.output =
        type_of_bits("output", output, options.get("output_bits", 1, 32));
    const bool accepted =
        layer.op == Operator::kQuantize ? is_code(layer.output)
        : layer.output == Type::kInt32  ? !layer.float_accumulator()
                                        : layer.output != Type::kUInt8;
    if (!accepted)
      throw FormatError(std::string("its output cannot be ") +
                        type_name(output.type));
  }
  check_type("output", output, stored_as(layer.output));
  if (output.allocation_type == tflite::kReadOnly)
    throw FormatError("its output is a constant");

  output_bytes =
      tensor_bytes(layer.output, layer.out_pixels(), layer.out_channels);
  const int last =
      static_cast<int>(pixel_elements(layer.output, layer.out_channels));
  if (layer.op == Operator::kFullyConnected) {
    output_shape = {layer.batch, last};
  } else {
    if (is_convolution(layer.op) || is_pooling(layer.op)) {
      output_shape[1] = layer.out_height;
      output_shape[2] = layer.out_width;
    }
    output_shape.back() = last;
  }
}

void PreparedLayer::read_constants(
    const Options& options, const std::vector<const tflite::Tensor*>& tensors) {
  size_t next = 1;
  if (has_weights(layer.op)) {
    layer.weight_bits = options.get("weight_bits", 1, 4);
    read_weights(required(tensors, next++, "weights"));
    const int code = layer.pad_value;
    const bool is_known =
        layer.float_accumulator() || layer.input == Type::kInt8 || code == 0 ||
        (code >= -max_code(bits(layer.input)) &&
         code <= max_code(bits(layer.input)) &&
         code_from_planes(bits(layer.input),
                          planes_from_code(bits(layer.input), code)) == code);
    if (!is_known)
      throw FormatError("pad_value " + text(code) + " is no code of the input");
  }

  const int channels = layer.out_channels;
  const bool has_stage =
      layer.op != Operator::kMaxPool2D && layer.op != Operator::kDequantize;
  const bool rounds = has_stage && options.get_or("rounding", 0, 0, 1);
  if (rounds && layer.output != Type::kInt8)
    throw FormatError("rounding needs 8-bit output");
  const bool has_offset = has_stage && options.get_or("offset", 0, 0, 1);
  if (has_offset && !rounds && layer.output != Type::kFloat32)
    throw FormatError("offset needs float output or rounding");
  if (layer.output == Type::kFloat32 || rounds) {
    scale_ = read_constant<float>("scale", required(tensors, next, "scale"),
                                  tflite::kFloat32, channels);
    bias_ = read_constant<float>("bias", required(tensors, next + 1, "bias"),
                                 tflite::kFloat32, channels);
    layer.scale = scale_.data();
    layer.bias = bias_.data();
    next += 2;
    if (has_offset) {
      offset_ =
          read_constant<float>("offset", required(tensors, next, "offset"),
                               tflite::kFloat32, channels);
      layer.offset = offset_.data();
      ++next;
    }
  } else if (is_code(layer.output) && has_stage) {
    read_thresholds(required(tensors, next, "thresholds"),
                    required(tensors, next + 1, "direction"));
    next += 2;
  }

  if (layer.input == Type::kUInt8) {
    input_scale_ = read_constant<float>("input_scale",
                                        required(tensors, next, "input_scale"),
                                        tflite::kFloat32, layer.in_channels);
    input_offset_ = read_constant<float>(
        "input_offset", required(tensors, next + 1, "input_offset"),
        tflite::kFloat32, layer.in_channels);
    layer.input_scale = input_scale_.data();
    layer.input_offset = input_offset_.data();
    next += 2;
  }
  if (tensors.size() != next) {
    throw FormatError("it must have " + text(static_cast<int64_t>(next)) +
                      " inputs, but has " +
                      text(static_cast<int64_t>(tensors.size())));
  }
}

void PreparedLayer::read_weights(const tflite::Tensor& tensor) {
  const int64_t count = product({layer.out_channels, layer.window.height,
                                 layer.window.width, layer.group_channels()});
  const int64_t plane_bytes = count / 8 + (count % 8 != 0);
  check_type("weights", tensor, tflite::kUInt8);
  if (tensor.allocation_type != tflite::kReadOnly || tensor.data == nullptr)
    throw FormatError("weights must be a constant");
  if (static_cast<int64_t>(tensor.bytes) !=
      product({plane_bytes, layer.weight_bits})) {
    throw FormatError("weights must have shape [" + text(layer.weight_bits) +
                      ", " + text(plane_bytes) + "] for " + text(count) +
                      " weights of " + text(layer.weight_bits) +
                      " bits, but their shape is " + shape_text(tensor));
  }
  layer.weights = static_cast<const uint8_t*>(tensor.data);
  layer.weight_plane_bytes = static_cast<size_t>(plane_bytes);
}

void PreparedLayer::read_thresholds(const tflite::Tensor& thresholds,
                                    const tflite::Tensor& direction) {
  const int channels = layer.out_channels;
  const int64_t count = product({threshold_count(layer.output), channels});
  if (layer.float_accumulator()) {
    float_thresholds_ =
        read_constant<float>("thresholds", thresholds, tflite::kFloat32, count);
    check_ascending(float_thresholds_, channels);
    layer.float_thresholds = float_thresholds_.data();
  } else {
    thresholds_ =
        read_constant<int32_t>("thresholds", thresholds, tflite::kInt32, count);
    check_ascending(thresholds_, channels);
    layer.thresholds = thresholds_.data();
  }
  direction_ =
      read_constant<int8_t>("direction", direction, tflite::kInt8, channels);
  for (int c = 0; c < channels; ++c) {
    if (direction_[c] != 1 && direction_[c] != -1) {
      throw FormatError("direction must be 1 or -1, but is " +
                        text(direction_[c]) + " for channel " + text(c));
    }
  }
  layer.direction = direction_.data();
}

void PreparedLayer::check_accumulator() const {
  if (layer.op == Operator::kAveragePool2D && layer.scale == nullptr) {
    const Window& window = layer.window;
    const bool whole =
        window.pad_top == 0 && window.pad_left == 0 &&
        int64_t{layer.out_height - 1} * window.stride_y + window.height <=
            layer.in_height &&
        int64_t{layer.out_width - 1} * window.stride_x + window.width <=
            layer.in_width;
    if (!whole)
      throw FormatError(
          "only float and rounded output can have a pooling window that is "
          "partly outside the input");
  }
  if (!is_code(layer.input) || layer.op == Operator::kMaxPool2D) return;
  const int64_t terms =
      has_weights(layer.op)
          ? layer.weights_per_output()
          : product({layer.window.height, layer.window.width});
  const int weight = layer.weight_bits ? max_code(layer.weight_bits) : 1;
  if (product({terms, max_code(bits(layer.input)), weight}) > kMaxSum) {
    throw FormatError("a sum of " + text(terms) + " products of " +
                      text(bits(layer.input)) + " by " +
                      text(layer.weight_bits) + " bits can overflow 32 bits");
  }
}

}  // namespace aqe
