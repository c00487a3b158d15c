// Depthwise convolutions. Rows of the input are decoded once, for all positions
// and taps that see them, codes as int16; what remains are products side by
// side.
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
#include <type_traits>

#include "keras_aqe/kernel.h"
#include "kernels/loops/decoded_rows.h"
#include "kernels/loops/weights.h"

#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace aqe {

inline int64_t depthwise_units(const Layer& layer) {
  return int64_t{layer.batch} * block_count(layer.out_channels) *
         layer.out_height;
}

// What a unit is: a block of channels of a row of outputs. Rows below each
// other come first, since they share rows of the input.
struct DepthwiseUnit {
  int64_t y;
  int64_t part;  // of all images' blocks
  int64_t n;
  int block;

  DepthwiseUnit(const Layer& layer, int64_t unit)
      : y(unit % layer.out_height), part(unit / layer.out_height) {
    const int blocks = block_count(layer.out_channels);
    n = part / blocks;
    block = static_cast<int>(part % blocks);
  }
};

// Constants: those of the output stage, then the weights [block][tap][64], as
// decoded inputs are.
template <class Method>
size_t depthwise_weights_at(const Layer& layer) {
  return round_up(Method::output_bytes(layer), 64);
}

// Bytes of 64 decoded inputs, or weights.
inline size_t decoded_block_bytes(const Layer& layer) {
  return kBlock * (layer.float_accumulator() ? sizeof(float) : sizeof(int16_t));
}

template <class Method>
size_t depthwise_constants_bytes(const Layer& layer) {
  return depthwise_weights_at<Method>(layer) +
         decoded_block_bytes(layer) * block_count(layer.out_channels) *
             layer.weights_per_output();
}

template <class Value>
void pack_depthwise_weights(const Layer& layer, Value* weights) {
  const int64_t taps = layer.weights_per_output();
  std::fill_n(weights, kBlock * block_count(layer.out_channels) * taps,
              Value{0});
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    for (int64_t tap = 0; tap < taps; ++tap)
      weights[(o / kBlock * taps + tap) * kBlock + o % kBlock] = codes[tap];
  }
}

template <class Method>
void pack_depthwise(const Layer& layer, void* constants) {
  Method::pack_output(layer, constants);
  char* weights =
      static_cast<char*>(constants) + depthwise_weights_at<Method>(layer);
  if (layer.float_accumulator()) {
    pack_depthwise_weights(layer, reinterpret_cast<float*>(weights));
  } else {
    pack_depthwise_weights(layer, reinterpret_cast<int16_t*>(weights));
  }
}

inline bool supports_depthwise(const Layer& layer) {
  return layer.window.height <= kMostWindowRows;
}

inline DecodedRows depthwise_rows(const Layer& layer) {
  return DecodedRows(layer, 1, decoded_block_bytes(layer));
}

inline size_t depthwise_scratch_bytes(const Layer& layer) {
  return depthwise_rows(layer).bytes();
}

// Vectors of an instruction set: as many sums as fill one.
template <class Sum, class Value, int kVectorBytes>
struct SumLanes {
  static constexpr int kLanes = kVectorBytes / sizeof(Sum);
  typedef Sum Sums __attribute__((vector_size(kVectorBytes)));

  // Plus the products of as many inputs and weights.
  AQE_TARGET static Sums add(Sums sums, const Value* inputs,
                             const Value* weights) {
    typedef Value Values __attribute__((vector_size(sizeof(Value) * kLanes)));
    Values input, weight;
    std::memcpy(&input, inputs, sizeof input);
    std::memcpy(&weight, weights, sizeof weight);
    return sums + __builtin_convertvector(input, Sums) *
                      __builtin_convertvector(weight, Sums);
  }
};

#if defined(__ARM_NEON)
// Compilers widen half a register number by number.
template <>
struct SumLanes<int32_t, int16_t, 16> {
  static constexpr int kLanes = 4;
  using Sums = int32x4_t;

  static Sums add(Sums sums, const int16_t* inputs, const int16_t* weights) {
    return vmlal_s16(sums, vld1_s16(inputs), vld1_s16(weights));
  }
};
#endif

// The sums of `count` channels, or some more, at one position; rows[ky] are its
// inputs in row ky of the window.
template <class Method, class Sum, class Value, class Acc>
AQE_TARGET inline void sum_taps(const Window& window, const Value* const* rows,
                                int64_t first, const Value* weights, int count,
                                Acc* acc) {
  using Lanes = SumLanes<Sum, Value, Method::kVectorBytes>;
  using Sums = typename Lanes::Sums;
  constexpr int kLanes = Lanes::kLanes;
  constexpr int kVectors = std::min(4, kBlock / kLanes);  // at a time
  alignas(64) Sum sums[kBlock];
  for (int i = 0; i < count; i += kVectors * kLanes) {
    Sums sum[kVectors] = {};
    const Value* w = weights + i;
    for (int ky = 0; ky < window.height; ++ky) {
      const Value* c = rows[ky] + first + i;
      for (int kx = 0; kx < window.width; ++kx) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          sum[v] = Lanes::add(sum[v], c + v * kLanes, w + v * kLanes);
        c += int64_t{window.dilation_x} * kBlock;
        w += kBlock;
      }
    }
    std::memcpy(sums + i, sum, sizeof sum);
  }
  for (int i = 0; i < count; ++i) acc[i] = sums[i];
}

// 64 inputs of a pixel; what stands behind the channels does not matter.
template <class Method>
AQE_TARGET inline void decode_block(const Layer& layer, const char* pixel,
                                    int block, int16_t* codes) {
  Method::decode(layer, pixel, block, codes);
}
template <class Method>
AQE_TARGET inline void decode_block(const Layer& layer, const char* pixel,
                                    int block, float* values) {
  std::memcpy(values, pixel + sizeof(float) * kBlock * block,
              sizeof(float) * channels_in_block(layer.in_channels, block));
}

// The inputs that 64 outputs of a pixel are sums of: those of the block, or
// each as often as it has outputs.
template <class Method, class Value>
AQE_TARGET inline void decode_depthwise(const Layer& layer, const char* pixel,
                                        int block, Value* values) {
  const int multiplier = layer.out_channels / layer.in_channels;
  if (multiplier == 1) return decode_block<Method>(layer, pixel, block, values);
  alignas(64) Value own[kBlock];
  int decoded = -1;
  for (int i = 0; i < channels_in_block(layer.out_channels, block); ++i) {
    const int channel = (block * kBlock + i) / multiplier;
    if (channel / kBlock != decoded) {
      decoded = channel / kBlock;
      decode_block<Method>(layer, pixel, decoded, own);
    }
    values[i] = own[channel % kBlock];
  }
}

template <class Method, class Value>
AQE_TARGET void run_depthwise_values(const Layer& layer, const void* constants,
                                     const void* input, void* output,
                                     void* scratch, int64_t begin,
                                     int64_t end) {
  constexpr bool kIsFloat = std::is_same_v<Value, float>;
  using Acc = std::conditional_t<kIsFloat, float, int32_t>;
  const Window& window = layer.window;
  [[maybe_unused]] const bool is_short = !kIsFloat && has_short_sums(layer);
  DecodedRows decoded = depthwise_rows(layer);
  decoded.start(input, scratch);
  for (int64_t unit = begin; unit < end; ++unit) {
    const DepthwiseUnit own(layer, unit);
    const auto decode = [&](const char* pixels, int64_t count,
                            char* to) AQE_TARGET {
      auto* values = reinterpret_cast<Value*>(to);
      if (pixels == nullptr) {
        std::fill_n(values, count * kBlock,
                    static_cast<Value>(layer.pad_value));
        return;
      }
      const int64_t step = pixel_bytes(layer.input, layer.in_channels);
      for (; count > 0; --count, pixels += step, values += kBlock)
        decode_depthwise<Method>(layer, pixels, own.block, values);
    };
    const Value* rows[kMostWindowRows];
    for (int ky = 0; ky < window.height; ++ky) {
      rows[ky] = reinterpret_cast<const Value*>(decoded.row(
          own.part, own.n,
          own.y * window.stride_y + int64_t{ky} * window.dilation_y, decode));
    }
    const auto* weights =
        reinterpret_cast<const Value*>(static_cast<const char*>(constants) +
                                       depthwise_weights_at<Method>(layer)) +
        own.block * layer.weights_per_output() * kBlock;
    char* pixel =
        pixel_at(layer.output, layer.out_channels, output,
                 (own.n * layer.out_height + own.y) * layer.out_width);
    const int count = channels_in_block(layer.out_channels, own.block);
    for (int x = 0; x < layer.out_width; ++x) {
      alignas(64) Acc acc[kBlock];
      const int64_t first = int64_t{x} * window.stride_x * kBlock;
      if constexpr (kIsFloat) {
        sum_taps<Method, float>(window, rows, first, weights, count, acc);
      } else if (is_short) {
        sum_taps<Method, int16_t>(window, rows, first, weights, count, acc);
      } else {
        sum_taps<Method, int32_t>(window, rows, first, weights, count, acc);
      }
      Method::store(layer, constants, acc, own.block, pixel);
      pixel += pixel_bytes(layer.output, layer.out_channels);
    }
  }
}

template <class Method>
void run_depthwise(const Layer& layer, const void* constants, const void* input,
                   void* output, void* scratch, int64_t begin, int64_t end) {
  const auto run = layer.float_accumulator()
                       ? run_depthwise_values<Method, float>
                       : run_depthwise_values<Method, int16_t>;
  run(layer, constants, input, output, scratch, begin, end);
}

template <class Method>
constexpr Kernel depthwise_kernel(const char* name, uint32_t features) {
  return {name,
          Operator::kDepthwiseConv2D,
          kCodeWidths | width_set(Type::kFloat32),
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
