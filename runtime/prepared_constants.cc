// Of a PreparedLayer, the constants: weights, thresholds, scales.
#include "keras_aqe/codes.h"
#include "prepared_layer.h"
#include "tensor_checks.h"

namespace aqe {
namespace {

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

}  // namespace

void PreparedLayer::read_constants(
    const Options& options, const std::vector<const tflite::Tensor*>& tensors) {
  auto next = static_cast<size_t>(layer.part_count);
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

  read_output_stage(options, "", tensors, &next, &layer, &output_constants_);
  if (layer.sum.has_limits) read_limits(required(tensors, next++, "limits"));
  quantizer_constants_.resize(quantizers_.size());
  for (size_t q = 0; q < quantizers_.size(); ++q) {
    read_output_stage(options, quantizer_prefix(static_cast<int>(q)), tensors,
                      &next, &quantizers_[q], &quantizer_constants_[q]);
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
  if (layer.sum.has_addend) check_addend(required(tensors, next++, "addend"));
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

// The constants of an output stage from tensor `next` on, whose options begin
// with `prefix`.
void PreparedLayer::read_output_stage(
    const Options& options, const std::string& prefix,
    const std::vector<const tflite::Tensor*>& tensors, size_t* next, Layer* of,
    OutputConstants* constants) {
  const bool has_stage = has_output_stage(of->op);
  const bool rounds = has_stage && options.get_or(prefix + "rounding", 0, 0, 1);
  if (rounds && of->output != Type::kInt8)
    throw FormatError(prefix + "rounding needs 8-bit output");
  const bool has_offset =
      has_stage && options.get_or(prefix + "offset", 0, 0, 1);
  if (has_offset && !rounds && of->output != Type::kFloat32)
    throw FormatError(prefix + "offset needs float output or rounding");
  const auto read_floats = [&](const char* name, std::vector<float>* to) {
    const std::string own = prefix + name;
    *to = read_constant<float>(own.c_str(),
                               required(tensors, (*next)++, own.c_str()),
                               tflite::kFloat32, of->out_channels);
    return to->data();
  };
  if (of->output == Type::kFloat32 || rounds) {
    of->scale = read_floats("scale", &constants->scale);
    of->bias = read_floats("bias", &constants->bias);
    if (has_offset) of->offset = read_floats("offset", &constants->offset);
  } else if (is_code(of->output) && has_stage) {
    if (of->output == Type::kInt8) {
      of->code_bits = options.get_or(prefix + "code_bits", 8, 1, 8);
      of->first_code = options.get_or(prefix + "first_code", -128, -128,
                                      128 - (1 << of->code_bits));
    }
    const auto& thresholds = required(tensors, (*next)++, "thresholds");
    read_thresholds(thresholds, required(tensors, (*next)++, "direction"), of,
                    constants);
  }
}

void PreparedLayer::read_thresholds(const tflite::Tensor& thresholds,
                                    const tflite::Tensor& direction, Layer* of,
                                    OutputConstants* constants) {
  const int channels = of->out_channels;
  const int64_t count = product({of->levels(), channels});
  if (of->float_accumulator()) {
    constants->float_thresholds =
        read_constant<float>("thresholds", thresholds, tflite::kFloat32, count);
    check_ascending(constants->float_thresholds, channels);
    of->float_thresholds = constants->float_thresholds.data();
  } else {
    constants->thresholds =
        read_constant<int32_t>("thresholds", thresholds, tflite::kInt32, count);
    check_ascending(constants->thresholds, channels);
    of->thresholds = constants->thresholds.data();
  }
  constants->direction =
      read_constant<int8_t>("direction", direction, tflite::kInt8, channels);
  for (int c = 0; c < channels; ++c) {
    const int sign = constants->direction[c];
    if (sign != 1 && sign != -1) {
      throw FormatError("direction must be 1 or -1, but is " + text(sign) +
                        " for channel " + text(c));
    }
  }
  of->direction = constants->direction.data();
}

void PreparedLayer::read_limits(const tflite::Tensor& tensor) {
  const std::vector<float> limits =
      read_constant<float>("limits", tensor, tflite::kFloat32, 2);
  layer.sum.low = limits[0];
  layer.sum.high = limits[1];
  if (!(limits[0] <= limits[1]))
    throw FormatError("the first of two limits must not be above the second");
}

// It has the shape of the output's floats.
void PreparedLayer::check_addend(const tflite::Tensor& tensor) {
  check_type("addend", tensor, tflite::kFloat32);
  if (tensor.allocation_type == tflite::kReadOnly)
    throw FormatError("addend must not be a constant");
  std::vector<int> shape = outputs[0].shape;
  shape.back() = layer.out_channels;
  if (std::vector<int>(tensor.dims->data,
                       tensor.dims->data + tensor.dims->size) != shape) {
    throw FormatError("addend must have the shape of the output's floats, " +
                      shape_text(shape) + ", but its shape is " +
                      shape_text(tensor));
  }
  addend_bytes =
      tensor_bytes(Type::kFloat32, layer.out_pixels(), layer.out_channels);
}

}  // namespace aqe
