// From an operator of a file to a Layer: reads the options, checks every tensor
// against them, keeps the constants.
#pragma once

#include <string>
#include <vector>

#include "keras_aqe/layer.h"
#include "options.h"
#include "tflite_abi.h"

namespace aqe {

// Whether docs/format.md knows the operator; if so, which it is.
bool find_operator(const char* name, Operator* op);

struct PreparedLayer {
  Layer layer;
  std::vector<int> output_shape;
  size_t input_bytes = 0;
  size_t output_bytes = 0;

  // `tensors` are the operator's inputs in order, null where one is left out.
  // Throws FormatError.
  PreparedLayer(Operator op, const Options& options,
                const std::vector<const tflite::Tensor*>& tensors,
                const tflite::Tensor& output);
  PreparedLayer(const PreparedLayer&) = delete;
  PreparedLayer& operator=(const PreparedLayer&) = delete;

 private:
  // What layer's pointers point to, but the weights, which stay in the file.
  std::vector<int32_t> thresholds_;
  std::vector<float> float_thresholds_, offset_, scale_, bias_, input_scale_,
      input_offset_;
  std::vector<int8_t> direction_;

  void read_input(const Options& options,
                  const std::vector<const tflite::Tensor*>& tensors);
  void read_windows(const Options& options);
  void read_outputs(const Options& options, const tflite::Tensor& output);
  void read_constants(const Options& options,
                      const std::vector<const tflite::Tensor*>& tensors);
  void read_weights(const tflite::Tensor& tensor);
  void read_thresholds(const tflite::Tensor& thresholds,
                       const tflite::Tensor& direction);
  void check_accumulator() const;
};

}  // namespace aqe
