// Codes one at a time: for the reference, for preparing constants, for tests.
// Too slow for inner loops.
#pragma once

#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "keras_aqe/layer.h"

namespace aqe {

// Code whose plane p is bit p of `planes`.
constexpr int code_from_planes(int bits, unsigned planes) {
  assert(bits >= 1 && bits <= 4);
  const unsigned magnitude = planes & ((1u << (bits - 1)) - 1);
  const int value = bits == 1 ? 1 : magnitude == 0 ? 0 : 1 << (magnitude - 1);
  return planes >> (bits - 1) & 1 ? -value : value;
}

constexpr unsigned planes_from_code(int bits, int code) {
  const unsigned sign = code < 0 ? 1u << (bits - 1) : 0;
  if (bits == 1) return sign;
  unsigned magnitude = 0;
  for (int value = code < 0 ? -code : code; value; value >>= 1) ++magnitude;
  return sign | magnitude;
}

// The index-th code in ascending order.
constexpr int code_at(Type type, int index) {
  if (type == Type::kInt8) return index - 128;
  if (type == Type::kPacked1) return index == 0 ? -1 : 1;
  const int from_zero = index - ((1 << (bits(type) - 1)) - 1);
  if (from_zero == 0) return 0;
  return from_zero < 0 ? -(1 << (-from_zero - 1)) : 1 << (from_zero - 1);
}

// The code that an output has for so many thresholds passed.
inline int output_code(const Layer& layer, int passed) {
  return layer.output == Type::kInt8 ? layer.first_code + passed
                                     : code_at(layer.output, passed);
}

// The 8-bit code nearest to a value, the even one of two; 0 for not a number.
inline int nearest_code(float value) {
  if (std::isnan(value)) return 0;
  const float rounded = std::nearbyint(value);
  return static_cast<int>(rounded < -128.0f  ? -128.0f
                          : rounded > 127.0f ? 127.0f
                                             : rounded);
}

// Weight i of output channel o.
inline int weight_code(const Layer& layer, int o, int64_t i) {
  const int64_t index = o * layer.weights_per_output() + i;
  unsigned planes = 0;
  for (int p = 0; p < layer.weight_bits; ++p) {
    planes |= (layer.weights[p * layer.weight_plane_bytes + index / 8] >>
                   (index % 8) &
               1u)
              << p;
  }
  return code_from_planes(layer.weight_bits, planes);
}

// Code of channel c in the pixel that starts at `pixel`.
inline int load_code(Type type, const void* pixel, int c) {
  if (type == Type::kInt8) return static_cast<const int8_t*>(pixel)[c];
  const auto* group =
      static_cast<const uint64_t*>(pixel) + int64_t{c / 64} * bits(type);
  unsigned planes = 0;
  for (int p = 0; p < bits(type); ++p)
    planes |= static_cast<unsigned>(group[p] >> (c % 64) & 1) << p;
  return code_from_planes(bits(type), planes);
}

// Writes a code into a pixel; packed pixels start out as zeros.
inline void store_code(Type type, void* pixel, int c, int code) {
  if (type == Type::kInt8) {
    static_cast<int8_t*>(pixel)[c] = static_cast<int8_t>(code);
    return;
  }
  auto* group = static_cast<uint64_t*>(pixel) + int64_t{c / 64} * bits(type);
  const unsigned planes = planes_from_code(bits(type), code);
  for (int p = 0; p < bits(type); ++p)
    group[p] |= uint64_t{planes >> p & 1} << (c % 64);
}

}  // namespace aqe
