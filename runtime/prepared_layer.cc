#include "prepared_layer.h"

#include <algorithm>
#include <cstring>

#include "keras_aqe/limits.h"
#include "tensor_checks.h"

namespace aqe {
namespace {

constexpr int kFormat = 5;

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

std::string quantizer_prefix(int number) {
  return "quantizer" + (number == 0 ? "" : text(number + 1)) + "_";
}

PreparedLayer::PreparedLayer(
    Operator op, const Options& options,
    const std::vector<const tflite::Tensor*>& tensors,
    const std::vector<const tflite::Tensor*>& output_tensors) {
  layer.op = op;
  const int format = options.get("format", 1, INT32_MAX);
  if (format > kFormat) {
    throw FormatError("the file has format version " + text(format) +
                      ", this runtime reads versions up to " + text(kFormat) +
                      "; update keras-aqe");
  }
  read_input(options, tensors);
  read_windows(options);
  read_channels(options);
  read_outputs(options, output_tensors);
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
  if (layer.op == Operator::kQuantize)
    layer.part_count = options.get_or("parts", 1, 1, kMaxChannels);
  if (layer.part_count == 1 &&
      input.dims->data[rank - 1] !=
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
  input_shape_.assign(input.dims->data, input.dims->data + rank);
  if (layer.part_count == 1) {
    input_bytes = {
        tensor_bytes(layer.input, layer.in_pixels(), layer.in_channels)};
  } else {
    read_parts(tensors);
  }
}

// The tensors that are one input; of the first, all but its channels is known.
void PreparedLayer::read_parts(
    const std::vector<const tflite::Tensor*>& tensors) {
  if (layer.input != Type::kFloat32)
    throw FormatError("only FLOAT32 input can have parts");
  int64_t channels = 0;
  for (int i = 0; i < layer.part_count; ++i) {
    const tflite::Tensor& tensor =
        required(tensors, static_cast<size_t>(i), "a part");
    check_type("a part", tensor, tflite::kFloat32);
    std::vector<int> shape(tensor.dims->data,
                           tensor.dims->data + tensor.dims->size);
    const int own = shape.size() == input_shape_.size() ? shape.back() : 0;
    if (own > 0) shape.back() = input_shape_.back();
    if (own < 1 || shape != input_shape_) {
      throw FormatError("a part must have the shape of the first, " +
                        shape_text(input_shape_) +
                        ", but for the channels; its shape is " +
                        shape_text(tensor));
    }
    parts.push_back({own, nullptr});
    input_bytes.push_back(tensor_bytes(layer.input, layer.in_pixels(), own));
    channels += own;
  }
  if (channels != layer.in_channels) {
    throw FormatError("the parts must have " + text(layer.in_channels) +
                      " channels together, but have " + text(channels));
  }
  layer.parts = parts.data();
}

void PreparedLayer::read_channels(const Options& options) {
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
}

void PreparedLayer::read_outputs(
    const Options& options, const std::vector<const tflite::Tensor*>& tensors) {
  for (const tflite::Tensor* tensor : tensors) {
    if (tensor == nullptr) throw FormatError("an output is missing");
  }
  if (tensors.empty()) throw FormatError("it must have an output");
  const tflite::Tensor& output = *tensors[0];
  Sum& sum = layer.sum;
  if (has_weights(layer.op)) {
    sum.has_addend = options.get_or("addend", 0, 0, 1) == 1;
    sum.has_limits = options.get_or("limits", 0, 0, 1) == 1;
    while (options.has(quantizer_prefix(sum.quantizer_count) + "bits"))
      ++sum.quantizer_count;
  }
  const size_t code_count = sum.quantizer_count;
  const bool keeps_floats = code_count == 0 || tensors.size() > code_count;
  if (tensors.size() != code_count + (keeps_floats ? 1 : 0)) {
    throw FormatError("it must have one output, and one for each of its " +
                      text(sum.quantizer_count) + " quantizers, but has " +
                      text(static_cast<int64_t>(tensors.size())));
  }

  if (layer.op == Operator::kMaxPool2D) {
    layer.output = layer.input;
  } else if (layer.op == Operator::kDequantize) {
    layer.output = output.type == tflite::kInt8 ? Type::kInt8 : Type::kFloat32;
  } else {
    const int output_bits = options.get("output_bits", 1, 32);
    layer.output = keeps_floats || output_bits != 32
                       ? type_of_bits("output", output, output_bits)
                       : Type::kFloat32;
    const bool accepted =
        layer.op == Operator::kQuantize ? is_code(layer.output)
        : layer.output == Type::kInt32  ? !layer.float_accumulator()
                                        : layer.output != Type::kUInt8;
    if (!accepted)
      throw FormatError(std::string("its output cannot be ") +
                        type_name(output.type));
  }
  if (layer.sums() && layer.output != Type::kFloat32)
    throw FormatError("addend, limits and quantizers need float output");
  if (keeps_floats) add_output(layer, output);
  add_quantizers(options, {tensors.end() - sum.quantizer_count, tensors.end()});
}

void PreparedLayer::add_quantizers(
    const Options& options, const std::vector<const tflite::Tensor*>& outputs) {
  Layer quantizer = layer;
  quantizer.op = Operator::kQuantize;
  quantizer.input = Type::kFloat32;
  quantizer.sum = {};
  for (size_t q = 0; q < outputs.size(); ++q) {
    const std::string prefix = quantizer_prefix(static_cast<int>(q));
    quantizer.output = type_of_bits("quantizer", *outputs[q],
                                    options.get(prefix + "bits", 1, 8));
    quantizers_.push_back(quantizer);
    add_output(quantizer, *outputs[q]);
  }
  codes.resize(quantizers_.size());
  layer.sum.quantizers = quantizers_.data();
  layer.sum.codes = codes.data();
}

// Of `layer` or of a quantizer of its sum.
void PreparedLayer::add_output(const Layer& of, const tflite::Tensor& tensor) {
  check_type("output", tensor, stored_as(of.output));
  if (tensor.allocation_type == tflite::kReadOnly)
    throw FormatError("its output is a constant");
  const int last = static_cast<int>(pixel_elements(of.output, of.out_channels));
  std::vector<int> shape = input_shape_;
  if (layer.op == Operator::kFullyConnected) {
    shape = {layer.batch, last};
  } else if (is_convolution(layer.op) || is_pooling(layer.op)) {
    shape[1] = layer.out_height;
    shape[2] = layer.out_width;
  }
  shape.back() = last;
  outputs.push_back(
      {shape, tensor_bytes(of.output, of.out_pixels(), of.out_channels)});
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
