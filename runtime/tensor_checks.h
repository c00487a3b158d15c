// What an operator's tensors must be, and how the messages name them; all throw
// FormatError.
#pragma once

#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "keras_aqe/layer.h"
#include "operator_options.h"
#include "tflite_abi.h"

namespace aqe {

std::string text(int64_t value);
std::string shape_text(const std::vector<int>& sizes);
std::string shape_text(const tflite::Tensor& tensor);
const char* type_name(tflite::TensorType type);

int64_t product(std::initializer_list<int64_t> factors);

// Bytes of a tensor, which interpreters count in at most 31 bits.
size_t tensor_bytes(Type type, int64_t pixels, int channels);

tflite::TensorType stored_as(Type type);

// The type that so many bits in a tensor stand for.
Type type_of_bits(const char* name, const tflite::Tensor& tensor, int bits);

void check_type(const char* name, const tflite::Tensor& tensor,
                tflite::TensorType expected);

const tflite::Tensor& required(
    const std::vector<const tflite::Tensor*>& tensors, size_t index,
    const char* name);

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

}  // namespace aqe
