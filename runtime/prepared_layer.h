// From an operator of a file to a Layer: reads the options, checks every tensor
// against them, keeps the constants.
#pragma once

#include <string>
#include <vector>

#include "keras_aqe/layer.h"
#include "operator_options.h"
#include "tflite_abi.h"

namespace aqe {

// Whether docs/format.md knows the operator; if so, which it is.
bool find_operator(const char* name, Operator* op);

// What the options of a quantizer of a sum begin with.
std::string quantizer_prefix(int number);

struct PreparedLayer {
  // What the interpreter is to make of an output.
  struct Output {
    std::vector<int> shape;
    size_t bytes = 0;
  };

  Layer layer;
  // The tensors of one run: those of `layer.parts`, and codes of its sum.
  std::vector<Part> parts;
  std::vector<void*> codes;
  // Of each tensor of the input, and of the addend.
  std::vector<size_t> input_bytes;
  size_t addend_bytes = 0;
  std::vector<Output> outputs;

  // `tensors` are the operator's inputs in order, null where one is left out.
  // Throws FormatError.
  PreparedLayer(Operator op, const Options& options,
                const std::vector<const tflite::Tensor*>& tensors,
                const std::vector<const tflite::Tensor*>& output_tensors);
  PreparedLayer(const PreparedLayer&) = delete;
  PreparedLayer& operator=(const PreparedLayer&) = delete;

 private:
  // What a layer's pointers point to, but the weights, which stay in the file.
  struct OutputConstants {
    std::vector<int32_t> thresholds;
    std::vector<float> float_thresholds, offset, scale, bias;
    std::vector<int8_t> direction;
  };

  OutputConstants output_constants_;
  std::vector<float> input_scale_, input_offset_;
  // Of layer.sum.
  std::vector<Layer> quantizers_;
  std::vector<OutputConstants> quantizer_constants_;
  std::vector<int> input_shape_;

  void read_input(const Options& options,
                  const std::vector<const tflite::Tensor*>& tensors);
  void read_parts(const std::vector<const tflite::Tensor*>& tensors);
  void read_windows(const Options& options);
  void read_channels(const Options& options);
  void read_outputs(const Options& options,
                    const std::vector<const tflite::Tensor*>& tensors);
  void add_quantizers(const Options& options,
                      const std::vector<const tflite::Tensor*>& codes);
  void add_output(const Layer& of, const tflite::Tensor& tensor);
  void read_constants(const Options& options,
                      const std::vector<const tflite::Tensor*>& tensors);
  void read_weights(const tflite::Tensor& tensor);
  static void read_output_stage(
      const Options& options, const std::string& prefix,
      const std::vector<const tflite::Tensor*>& tensors, size_t* next,
      Layer* of, OutputConstants* constants);
  static void read_thresholds(const tflite::Tensor& thresholds,
                              const tflite::Tensor& direction, Layer* of,
                              OutputConstants* constants);
  void read_limits(const tflite::Tensor& tensor);
  void check_addend(const tflite::Tensor& tensor);
  void check_accumulator() const;
};

}  // namespace aqe
