// Dense layers on x86 where a sum is no count of bits: codes or floats against
// weights that are decoded in registers, since at batch 1 memory is what bounds
// a dense layer.
//
// Weights come in chunks of so many steps for 64 output channels; a step is
// four neighbouring inputs, or one in float. A `Chunk` says how:
//   kBytes                               a chunk, 4 * kBlock of each part
//   steps(layer)                         in a chunk
//   put(layer, planes, step, input, own) stores a weight of the step; `own` are
//                                        the channel's bytes of the first part
//
// A `Dot` says:
//   Chunk                         its chunks
//   Lanes                         its vectors
//   multiply(layer, patches, stride, rows, weights, chunks, init, acc)
//                                 rows of patches times 64 output channels
#pragma once

#include <algorithm>

#include "kernels/x86/dot.h"

namespace aqe {

constexpr int kAhead = 4096;  // bytes of weights on their way from memory
constexpr int kFloatField = 4;

// Bits of a weight as `Fields` store it.
constexpr int field_bits(int weight_bits) {
  return weight_bits == 3 ? 4 : weight_bits;
}

// One part. Codes: it holds 8, 4 or 2 steps of 1, 2 or 4 bits (3 bits take 4),
// one step in the lowest bits of each byte, the next above it. Float: eight
// inputs, four bits each.
struct Fields {
  static constexpr int kBytes = 4 * kBlock;

  static int64_t steps(const Layer& layer) {
    return layer.float_accumulator() ? 32 / kFloatField
                                     : 8 / field_bits(layer.weight_bits);
  }
  static void put(const Layer& layer, unsigned planes, int step, int input,
                  uint8_t* own) {
    const int bit = layer.float_accumulator()
                        ? step * kFloatField
                        : input * 8 + step * field_bits(layer.weight_bits);
    own[bit / 8] |= static_cast<uint8_t>(planes << (bit % 8));
  }
};

template <class Chunk>
int64_t chunk_count(const Layer& layer) {
  const int64_t steps =
      window_taps(layer) * static_cast<int64_t>(patch_pixel_bytes(layer) / 4);
  return (steps + Chunk::steps(layer) - 1) / Chunk::steps(layer);
}

// Constants: what the sums start with, int32 or float of each output channel;
// weights [block][chunk][part][channel].
inline size_t dense_init_bytes(const Layer& layer) {
  return sizeof(int32_t) * kBlock * block_count(layer.out_channels);
}

template <class Chunk>
size_t dense_constants_bytes(const Layer& layer) {
  return dense_init_bytes(layer) + size_t{Chunk::kBytes} *
                                       block_count(layer.out_channels) *
                                       chunk_count<Chunk>(layer);
}

template <class Chunk>
void pack_dense(const Layer& layer, void* constants) {
  auto* bytes = static_cast<uint8_t*>(constants);
  std::fill_n(bytes, dense_constants_bytes<Chunk>(layer), 0);
  auto* init = reinterpret_cast<int32_t*>(bytes);
  uint8_t* weights = bytes + dense_init_bytes(layer);
  const bool is_real = layer.float_accumulator();
  const int64_t steps = Chunk::steps(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    int64_t sum = 0;
    for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
      const int code = weight_code(layer, o, i);
      const int64_t byte = i / layer.in_channels *
                               static_cast<int64_t>(patch_pixel_bytes(layer)) +
                           i % layer.in_channels * (is_real ? 4 : 1);
      const int64_t step = byte / 4;
      const int64_t chunk =
          o / kBlock * chunk_count<Chunk>(layer) + step / steps;
      Chunk::put(layer, planes_from_code(layer.weight_bits, code),
                 static_cast<int>(step % steps), static_cast<int>(byte % 4),
                 weights + chunk * Chunk::kBytes + o % kBlock * 4);
      sum += code;
    }
    if (!is_real) init[o] = take_back(layer.input, sum);
  }
}

template <class Dot>
struct DotDense : VectorOutput<typename Dot::Lanes> {
  using Acc = typename Dot::Lanes::Acc;
  using Chunk = typename Dot::Chunk;

  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up(chunk_count<Chunk>(layer) * Chunk::steps(layer) * 4, 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return chunk_count<Chunk>(layer) * Chunk::kBytes;
  }

  AQE_TARGET static void load(const Layer& layer, const char* pixels, int count,
                              int64_t bytes, char* to) {
    load_pixels<typename Dot::Lanes::Set>(layer, pixels, count, bytes, to);
  }
  // Nothing lies outside.
  static const char* pad_pixel(const Layer&, const void*) { return nullptr; }
  AQE_TARGET static void finish(const Layer& layer, char* patch) {
    const size_t filled = window_taps(layer) * pixel_bytes(layer);
    std::memset(patch + filled, 0, patch_bytes(layer) - filled);
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, Acc* acc) {
    const auto* bytes = static_cast<const char*>(constants);
    Dot::multiply(layer, patches, patch_bytes(layer), rows,
                  bytes + dense_init_bytes(layer) + block * block_bytes(layer),
                  chunk_count<Chunk>(layer),
                  reinterpret_cast<const Acc*>(bytes) + block * kBlock, acc);
  }
};

}  // namespace aqe
