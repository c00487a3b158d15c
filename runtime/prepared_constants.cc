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
  const bool has_stage = has_output_stage(layer.op);
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
    if (layer.output == Type::kInt8) {
      layer.code_bits = options.get_or("code_bits", 8, 1, 8);
      layer.first_code = options.get_or("first_code", -128, -128,
                                        128 - (1 << layer.code_bits));
    }
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
  const int64_t count = product({layer.levels(), channels});
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

}  // namespace aqe
