// Depthwise convolutions of codes. Rows of the input are decoded once, for all
// positions and taps that see them; what remains are products side by side.
//
// A `Method` has the blocks of codes of an instruction set:
//   kVectorBytes                        of its vectors
//   decode(layer, pixel, block, codes)  64 codes of a pixel as int16; what
//                                       stands behind the channels does not
//                                       matter
//   store(layer, constants, values, block, pixel)
//                                       the output stage of 64 sums, or floats
//   output_bytes(layer), pack_output(layer, constants)
//                                       constants of the output stage, before
//                                       all others
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "keras_aqe/kernel.h"
#include "kernels/loops/decoded_rows.h"
#include "kernels/loops/weights.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace aqe {

// Constants: those of the output stage, then the weights [block][tap][64] as
// int16.
template <class Method>
size_t depthwise_weights_at(const Layer& layer) {
  return round_up(Method::output_bytes(layer), 64);
}

inline int64_t depthwise_weights(const Layer& layer) {
  return kBlock * block_count(layer.out_channels) * layer.weights_per_output();
}

template <class Method>
size_t depthwise_constants_bytes(const Layer& layer) {
  return depthwise_weights_at<Method>(layer) +
         sizeof(int16_t) * depthwise_weights(layer);
}

template <class Method>
void pack_depthwise(const Layer& layer, void* constants) {
  Method::pack_output(layer, constants);
  auto* weights = reinterpret_cast<int16_t*>(
      static_cast<char*>(constants) + depthwise_weights_at<Method>(layer));
  const int64_t taps = layer.weights_per_output();
  std::fill_n(weights, depthwise_weights(layer), int16_t{0});
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    for (int64_t tap = 0; tap < taps; ++tap)
      weights[(o / kBlock * taps + tap) * kBlock + o % kBlock] = codes[tap];
  }
}

inline bool supports_depthwise(const Layer& layer) {
  return layer.window.height <= kMostWindowRows;
}

inline DecodedRows depthwise_rows(const Layer& layer) {
  return DecodedRows(layer, 1, sizeof(int16_t) * kBlock);
}

inline size_t depthwise_scratch_bytes(const Layer& layer) {
  return depthwise_rows(layer).bytes();
}

// Vectors of an instruction set: as many sums as fill one.
template <class Sum, int kVectorBytes>
struct SumLanes {
  static constexpr int kLanes = kVectorBytes / sizeof(Sum);
  typedef Sum Sums __attribute__((vector_size(kVectorBytes)));

  // Plus the products of as many codes and weights.
  AQE_TARGET static Sums add(Sums sums, const int16_t* codes,
                             const int16_t* weights) {
    typedef int16_t Codes
        __attribute__((vector_size(sizeof(int16_t) * kLanes)));
    Codes code, weight;
    std::memcpy(&code, codes, sizeof code);
    std::memcpy(&weight, weights, sizeof weight);
    return sums + __builtin_convertvector(code, Sums) *
                      __builtin_convertvector(weight, Sums);
  }
};

#if defined(__ARM_NEON)
// Compilers widen half a register number by number.
template <>
struct SumLanes<int32_t, 16> {
  static constexpr int kLanes = 4;
  using Sums = int32x4_t;

  static Sums add(Sums sums, const int16_t* codes, const int16_t* weights) {
    return vmlal_s16(sums, vld1_s16(codes), vld1_s16(weights));
  }
};
#endif

// The sums of `count` channels, or some more, at one position; rows[ky] are its
// codes in row ky of the window.
template <class Method, class Sum>
AQE_TARGET inline void sum_taps(const Window& window,
                                const int16_t* const* rows, int64_t first,
                                const int16_t* weights, int count,
                                int32_t* acc) {
  using Lanes = SumLanes<Sum, Method::kVectorBytes>;
  using Sums = typename Lanes::Sums;
  constexpr int kLanes = Lanes::kLanes;
  constexpr int kVectors = std::min(4, kBlock / kLanes);  // at a time
  alignas(64) Sum sums[kBlock];
  for (int i = 0; i < count; i += kVectors * kLanes) {
    Sums sum[kVectors] = {};
    const int16_t* w = weights + i;
    for (int ky = 0; ky < window.height; ++ky) {
      const int16_t* c = rows[ky] + first + i;
      for (int kx = 0; kx < window.width; ++kx) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          sum[v] = Lanes::add(sum[v], c + v * kLanes, w + v * kLanes);
        }
        c += int64_t{window.dilation_x} * kBlock;
        w += kBlock;
      }
    }
    std::memcpy(sums + i, sum, sizeof sum);
  }
  for (int i = 0; i < count; ++i) acc[i] = sums[i];
}

// The codes that 64 outputs of a pixel are sums of: those of the block, or each
// as often as it has outputs.
template <class Method>
AQE_TARGET inline void decode_depthwise(const Layer& layer, const char* pixel,
                                        int block, int16_t* codes) {
  const int multiplier = layer.out_channels / layer.in_channels;
  if (multiplier == 1) return Method::decode(layer, pixel, block, codes);
  alignas(64) int16_t own[kBlock];
  int decoded = -1;
  for (int i = 0; i < channels_in_block(layer.out_channels, block); ++i) {
    const int channel = (block * kBlock + i) / multiplier;
    if (channel / kBlock != decoded) {
      decoded = channel / kBlock;
      Method::decode(layer, pixel, decoded, own);
    }
    codes[i] = own[channel % kBlock];
  }
}

template <class Method>
AQE_TARGET void run_depthwise(const Layer& layer, const void* constants,
                              const void* input, void* output, void* scratch,
                              int64_t begin, int64_t end) {
  const Window& window = layer.window;
  const int blocks = block_count(layer.out_channels);
  const bool is_short = has_short_sums(layer);
  DecodedRows decoded = depthwise_rows(layer);
  decoded.start(input, scratch);
  // Rows of outputs below each other come first, since they share rows.
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t y = unit % layer.out_height;
    const int64_t part = unit / layer.out_height;
    const int block = static_cast<int>(part % blocks);
    const int64_t n = part / blocks;
    const auto decode = [&](const char* pixels, int64_t count,
                            char* to) AQE_TARGET {
      auto* codes = reinterpret_cast<int16_t*>(to);
      if (pixels == nullptr) {
        std::fill_n(codes, count * kBlock,
                    static_cast<int16_t>(layer.pad_value));
        return;
      }
      const int64_t step = pixel_bytes(layer.input, layer.in_channels);
      for (; count > 0; --count, pixels += step, codes += kBlock)
        decode_depthwise<Method>(layer, pixels, block, codes);
    };
    const int16_t* rows[kMostWindowRows];
    for (int ky = 0; ky < window.height; ++ky) {
      rows[ky] = reinterpret_cast<const int16_t*>(decoded.row(
          part, n, y * window.stride_y + int64_t{ky} * window.dilation_y,
          decode));
    }
    const auto* weights =
        reinterpret_cast<const int16_t*>(static_cast<const char*>(constants) +
                                         depthwise_weights_at<Method>(layer)) +
        block * layer.weights_per_output() * kBlock;
    char* pixel = pixel_at(layer.output, layer.out_channels, output,
                           (n * layer.out_height + y) * layer.out_width);
    const int count = channels_in_block(layer.out_channels, block);
    for (int x = 0; x < layer.out_width; ++x) {
      alignas(64) int32_t acc[kBlock];
      const int64_t first = int64_t{x} * window.stride_x * kBlock;
      if (is_short) {
        sum_taps<Method, int16_t>(window, rows, first, weights, count, acc);
      } else {
        sum_taps<Method, int32_t>(window, rows, first, weights, count, acc);
      }
      Method::store(layer, constants, acc, block, pixel);
      pixel += pixel_bytes(layer.output, layer.out_channels);
    }
  }
}

inline int64_t depthwise_units(const Layer& layer) {
  return int64_t{layer.batch} * block_count(layer.out_channels) *
         layer.out_height;
}

template <class Method>
constexpr Kernel depthwise_kernel(const char* name, uint32_t features) {
  return {name,
          Operator::kDepthwiseConv2D,
          kCodeWidths,
          kWeightWidths,
          features,
          1,
          kBlock,
          supports_depthwise,
          depthwise_constants_bytes<Method>,
          pack_depthwise<Method>,
          depthwise_scratch_bytes,
          depthwise_units,
          run_depthwise<Method>};
}

}  // namespace aqe
