#include "prepared_layer.h"

#include <cstring>

#include "keras_aqe/limits.h"
#include "tensor_checks.h"

namespace aqe {
namespace {

constexpr int kFormat = 2;

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
  if (!is_code(layer.input) || !has_output_stage(layer.op)) return;
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
