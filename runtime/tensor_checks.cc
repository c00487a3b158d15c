#include "tensor_checks.h"

#include "keras_aqe/limits.h"

namespace aqe {

std::string text(int64_t value) { return std::to_string(value); }

std::string shape_text(const std::vector<int>& sizes) {
  std::string shape = "[";
  for (size_t i = 0; i < sizes.size(); ++i)
    shape += (i ? ", " : "") + text(sizes[i]);
  return shape + "]";
}

std::string shape_text(const tflite::Tensor& tensor) {
  return shape_text(std::vector<int>(tensor.dims->data,
                                     tensor.dims->data + tensor.dims->size));
}

int64_t product(std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (const int64_t factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result))
      throw FormatError("its sizes are too large to compute with");
  }
  return result;
}

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

}  // namespace aqe
