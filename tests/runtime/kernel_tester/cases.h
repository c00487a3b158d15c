// Random layers for kernels to be tested on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "keras_aqe/kernel.h"
#include "random.h"

namespace aqe {

// A layer with the memory behind its pointers.
struct Case {
  Layer layer;
  bool is_extreme = false;  // codes of the greatest magnitude, sums as well
  std::vector<uint8_t> weights;
  std::vector<int32_t> thresholds;
  std::vector<float> float_thresholds, offset, scale, bias;
  std::vector<float> input_scale, input_offset;
  std::vector<int8_t> direction;
  // Of layer.sum.
  std::vector<Layer> quantizers;
  std::vector<std::unique_ptr<Case>> quantizer_cases;  // with their memory
  bool keeps_floats = true;
  std::vector<int> part_channels;  // of an input of several tensors
};

// A layer of these widths, of sizes around the kernel's tile.
Case make_case(Random& random, const Kernel& kernel, Type input,
               int weight_bits);

void fill_input(Random& random, const Case& c, void* input);

std::string describe(const Layer& layer);

}  // namespace aqe
