#include "work_split.h"

#include <algorithm>

namespace aqe {
namespace {

// What one thread does in a nanosecond: products of 1 by 1 bits, products of
// bytes, and elements that it brings through an output stage or a pool. From
// the kernel benchmark; on ARM and for AMX from the estimates in
// docs/performance.md.
struct Speed {
  double bit_products, byte_products, elements;
};

Speed speed_of(const Kernel& kernel) {
#if defined(__x86_64__)
  if (kernel.features & kAmx) return {1500, 1500, 4};
  if (kernel.features & kAvx512) return {1200, 300, 4};
  if (kernel.features & kAvx2) return {350, 90, 2};
  return {30, 4, 0.1};
#else
  if (kernel.features & kNeonI8mm) return {60, 30, 0.4};
  return {60, 15, 0.4};
#endif
}

// Products of floats, and of what is summed up for each channel by itself, take
// as long as so many of bytes.
constexpr int kSlowProduct = 8;
// Quantize and dequantize wait for memory, and what another thread is given of
// it has to leave the caller's cache: the elements count as a part of others.
constexpr int kMovedElements = 16;

double product_nanoseconds(const Kernel& kernel, const Layer& layer) {
  const Speed speed = speed_of(kernel);
  const double products = static_cast<double>(layer.weights_per_output()) *
                          layer.batch * layer.conv_height * layer.conv_width *
                          layer.out_channels;
  // Kernels of images alone multiply their bytes.
  if (layer.input == Type::kUInt8 && kernel.inputs == width_set(Type::kUInt8))
    return products / speed.byte_products;
  if (layer.float_accumulator() || layer.op == Operator::kDepthwiseConv2D)
    return kSlowProduct * products / speed.byte_products;
  const double by_bits =
      products * bits(layer.input) * layer.weight_bits / speed.bit_products;
  return std::min(by_bits, products / speed.byte_products);
}

}  // namespace

int64_t estimate_nanoseconds(const Kernel& kernel, const Layer& layer) {
  double elements =
      static_cast<double>(layer.out_pixels()) * layer.out_channels;
  if (is_pooling(layer.op))
    elements *= static_cast<double>(layer.window.height) * layer.window.width;
  if (layer.op == Operator::kQuantize || layer.op == Operator::kDequantize)
    elements /= kMovedElements;
  double taken = elements / speed_of(kernel).elements;
  if (has_weights(layer.op)) taken += product_nanoseconds(kernel, layer);
  return static_cast<int64_t>(std::min(taken, 1e15));
}

int64_t share_nanoseconds(int64_t hand_over) {
  constexpr int64_t kHandOvers = 8;
  return std::clamp<int64_t>(kHandOvers * hand_over, 1500, 6000);
}

Split split_work(int64_t nanoseconds, int threads, int64_t share) {
  Split split;
  const int64_t shares = nanoseconds / share;
  split.threads =
      static_cast<int>(std::clamp<int64_t>(shares, 1, std::max(threads, 1)));
  // More parts than threads even out what threads are kept from doing.
  split.parts = std::clamp<int64_t>(shares / 2, split.threads,
                                    int64_t{2} * split.threads);
  return split;
}

}  // namespace aqe
