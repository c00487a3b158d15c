// Dense layers on x86 where a sum is no count of bits: codes or floats against
// weights that are decoded in registers, since at batch 1 memory is what bounds
// a dense layer.
//
// Weights come in chunks of so many steps for 64 output channels; a step is
// four neighbouring inputs, or one in float. A `Chunk` says how:
//   kBytes                               a chunk, 4 * kBlock of each part
//   steps(layer)                         in a chunk
//   put(layer, planes, step, own)        stores the weights of a step, a byte
//                                        each; `own` are the channel's bytes of
//                                        the first part
//
// A `Dot` says how a row of inputs meets a chunk:
//   Lanes                         its vectors
//   Chunk, kSteps                 its chunks, steps of one
//   kMostRows                     of the batch at a time
//   Table, table(weight_bits)     what weights are decoded with
//   Packed, load(chunk)           a register of each of a chunk's parts
//   weights(packed, step, table)  decoded
//   broadcast(patch), add(sums, in, weights)
//   kIsNarrow                     whether sums are narrower than the result's;
//                                 then also
//   zero(), most_chunks(layer), widen(acc, sums)
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/loops/tiles.h"
#include "kernels/loops/weights.h"
#include "kernels/x86/byte_patches.h"
#include "kernels/x86/output.h"

namespace aqe {

constexpr int kAhead = 4096;  // bytes of weights on their way from memory
constexpr int kFloatField = 4;

// Bits of a weight as `Fields` store it.
constexpr int field_bits(int weight_bits) {
  return weight_bits == 3 ? 4 : weight_bits;
}

// Sets bits of four bytes that are 0.
inline void add_word(uint32_t bits, uint8_t* bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  word |= bits;
  std::memcpy(bytes, &word, sizeof word);
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
  static void put(const Layer& layer, uint32_t planes, int step, uint8_t* own) {
    add_word(planes << (step * (layer.float_accumulator()
                                    ? kFloatField
                                    : field_bits(layer.weight_bits))),
             own);
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
  const int together = is_real ? 1 : 4;  // inputs of a step
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* planes = rows.planes(o);
    uint8_t* chunk = weights +
                     o / kBlock * chunk_count<Chunk>(layer) * Chunk::kBytes +
                     o % kBlock * 4;
    int64_t sum = 0;
    int step = 0;
    for (int64_t tap = 0; tap < window_taps(layer); ++tap) {
      for (int c = 0; c < layer.in_channels; c += together) {
        const int count = std::min(layer.in_channels - c, together);
        uint32_t bytes_of_step = 0;
        for (int i = 0; i < count; ++i) {
          bytes_of_step |= static_cast<uint32_t>(planes[i]) << (8 * i);
          sum += rows.code(planes[i]);
        }
        Chunk::put(layer, bytes_of_step, step, chunk);
        planes += count;
        if (++step == steps) {
          step = 0;
          chunk += Chunk::kBytes;
        }
      }
    }
    if (!is_real) init[o] = take_back(layer.input, sum);
  }
}

// What a chunk holds of kBytes output channels, on its way from memory.
inline void prefetch(const char* weights) {
  __builtin_prefetch(weights + kAhead);
}

// kRows rows of patches times 64 output channels.
template <class Dot, int kRows>
AQE_TARGET void multiply_dense(const Layer& layer, const char* patch,
                               size_t stride, const char* packed,
                               int64_t chunks,
                               const typename Dot::Lanes::Acc* init,
                               typename Dot::Lanes::Acc* acc) {
  using Lanes = typename Dot::Lanes;
  constexpr int kVectors = kBlock / kLanes;
  typename Lanes::Vector sums[kRows][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = Lanes::load(init + v * kLanes);
      if constexpr (Dot::kIsNarrow)
        Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
    }
  }
  const auto table = Dot::table(layer.weight_bits);
  while (chunks > 0) {
    int64_t some = chunks;
    if constexpr (Dot::kIsNarrow) {
      some = std::min(chunks, Dot::most_chunks(layer));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        for (int r = 0; r < kRows; ++r) sums[r][v] = Dot::zero();
      }
    }
    for (int64_t chunk = 0; chunk < some; ++chunk) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const auto own = Dot::load(packed + v * kBytes);
#pragma GCC unroll 8
        for (int step = 0; step < Dot::kSteps; ++step) {
          const auto w = Dot::weights(own, step, table);
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r) {
            sums[r][v] = Dot::add(
                sums[r][v], Dot::broadcast(patch + r * stride + step * 4), w);
          }
        }
      }
      patch += Dot::kSteps * 4;
      packed += Dot::Chunk::kBytes;
    }
    chunks -= some;
    if constexpr (Dot::kIsNarrow) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        for (int r = 0; r < kRows; ++r) {
          auto* at = acc + r * kBlock + v * kLanes;
          Lanes::store(at, Dot::widen(Lanes::load(at), sums[r][v]));
        }
      }
    }
  }
  if constexpr (Dot::kIsNarrow) return;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v)
      Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
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
    const auto* init = reinterpret_cast<const Acc*>(bytes) + block * kBlock;
    const char* weights =
        bytes + dense_init_bytes(layer) + block * block_bytes(layer);
    const size_t stride = patch_bytes(layer);
    const int step = layer.batch == 1 ? 1 : Dot::kMostRows;
    const auto run = layer.batch == 1 ? multiply_dense<Dot, 1>
                                      : multiply_dense<Dot, Dot::kMostRows>;
    for (int r = 0; r < rows; r += step) {
      run(layer, patches + r * stride, stride, weights,
          chunk_count<Chunk>(layer), init, acc + r * kBlock);
    }
  }
};

// The kernel of methods that share their chunks.
template <class Methods, class Chunk, int kMostRows>
struct DenseMethods : Methods {
  static constexpr int kRows = kMostRows, kChannels = kBlock;
  static constexpr auto constants_bytes = dense_constants_bytes<Chunk>;
  static constexpr auto pack = pack_dense<Chunk>;
};

}  // namespace aqe
