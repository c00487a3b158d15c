// Layers with float or image input and NEON. Output channels lie side by side
// in registers, so each one's products are added in the order of the format.
// A product with a power of two is exact, so fusing it with the addition
// changes nothing.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_codes.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

constexpr int kChannels = 16;  // of a tile
constexpr int kQuads = kChannels / 4;

// Weight kIndex of 16 channels, from floats or from fields with a table of
// codes.
template <int kField, int kIndex>
inline void load_weights(const uint8_t* weights, int8x16_t table,
                         float32x4_t* to) {
  if constexpr (kField == 32) {
    const auto* floats =
        reinterpret_cast<const float*>(weights) + kChannels * kIndex;
    for (int quad = 0; quad < kQuads; ++quad)
      to[quad] = vld1q_f32(floats + 4 * quad);
  } else {
    constexpr int kVectors = 8 / kField;
    const uint8x16_t packed = vld1q_u8(weights + kIndex / kVectors * 16);
    const int8x16_t codes =
        vqtbl1q_s8(table, (packed >> (kIndex % kVectors * kField)) &
                              vdupq_n_u8((1 << kField) - 1));
    const int16x8_t low = vmovl_s8(vget_low_s8(codes));
    const int16x8_t high = vmovl_high_s8(codes);
    to[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    to[1] = vcvtq_f32_s32(vmovl_high_s16(low));
    to[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    to[3] = vcvtq_f32_s32(vmovl_high_s16(high));
  }
}

// Adds the products of one value of each row.
template <int kField, int kPixels, int kIndex>
inline void add_value(float32x4_t (&acc)[kPixels][kQuads], const float32x4_t* x,
                      const uint8_t* weights, int8x16_t table) {
  float32x4_t w[kQuads];
  load_weights<kField, kIndex>(weights, table, w);
  for (int i = 0; i < kPixels; ++i) {
    for (int quad = 0; quad < kQuads; ++quad)
      acc[i][quad] = vfmaq_laneq_f32(acc[i][quad], w[quad], x[i], kIndex % 4);
  }
}

template <int kField, int kPixels, int kFirst>
inline void add_four(float32x4_t (&acc)[kPixels][kQuads], const float* rows,
                     size_t row_values, const uint8_t* weights,
                     int8x16_t table) {
  float32x4_t x[kPixels];
  for (int i = 0; i < kPixels; ++i)
    x[i] = vld1q_f32(rows + i * row_values + kFirst);
  add_value<kField, kPixels, kFirst>(acc, x, weights, table);
  add_value<kField, kPixels, kFirst + 1>(acc, x, weights, table);
  add_value<kField, kPixels, kFirst + 2>(acc, x, weights, table);
  add_value<kField, kPixels, kFirst + 3>(acc, x, weights, table);
}

constexpr int kChunk = 8;  // values of a row in one step

// The sums of 16 channels; those of a row 64 numbers after the row before.
template <int kField, int kPixels>
__attribute__((noinline)) void float_tile(const float* rows, size_t row_values,
                                          const uint8_t* weights,
                                          int64_t chunks,
                                          const int8_t* table_bytes,
                                          float* sums) {
  const int8x16_t table = vld1q_s8(table_bytes);
  float32x4_t acc[kPixels][kQuads];
  for (auto& row : acc) {
    for (float32x4_t& sum : row) sum = vdupq_n_f32(0);
  }
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    add_four<kField, kPixels, 0>(acc, rows, row_values, weights, table);
    add_four<kField, kPixels, 4>(acc, rows, row_values, weights, table);
    rows += kChunk;
    weights += kChunk * kChannels * kField / 8;
  }
  for (int i = 0; i < kPixels; ++i) {
    for (int quad = 0; quad < kQuads; ++quad)
      vst1q_f32(sums + i * kBlock + 4 * quad, acc[i][quad]);
  }
}

using Tile = void (*)(const float*, size_t, const uint8_t*, int64_t,
                      const int8_t*, float*);

// A convolution's weights are floats; a dense layer streams them at 1, 2 or 4
// bits each. Patches are floats [tap][channel], zeros after the last.
template <bool kDense>
struct Float : neon::NeonOutput<float> {
  static constexpr int kRows = kDense ? 1 : 4;
  static constexpr int kChannels = ::aqe::kChannels;

  static size_t pixel_bytes(const Layer& layer) {
    return sizeof(float) * layer.in_channels;
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up(sizeof(float) * row_values(layer), 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return tile_bytes(layer) * (kBlock / kChannels);
  }
  static bool decodes(const Layer& layer) {
    return layer.input != Type::kFloat32;
  }

  static void load(const Layer& layer, const char* pixels, int count,
                   int64_t bytes, char* to) {
    if (layer.input == Type::kFloat32) {
      std::memcpy(to, pixels, bytes);
      return;
    }
    const auto* from = reinterpret_cast<const uint8_t*>(pixels);
    auto* values = reinterpret_cast<float*>(to);
    for (int i = 0; i < count; ++i) {
      for (int c = 0; c < layer.in_channels; ++c, ++from, ++values) {
        *values = static_cast<float>(*from) * layer.input_scale[c] +
                  layer.input_offset[c];
      }
    }
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return neon::behind_output(layer, constants);
  }
  static void finish(const Layer& layer, char* patch) {
    auto* row = reinterpret_cast<float*>(patch);
    std::fill(row + layer.weights_per_output(), row + row_values(layer), 0.0f);
  }

  // Constants: a pixel of padding; [16 channels][chunk][value].
  static size_t constants_bytes(const Layer& layer) {
    const int tiles = (layer.out_channels + kChannels - 1) / kChannels;
    return pad_bytes(layer) + tiles * tile_bytes(layer);
  }

  static void pack(const Layer& layer, char* constants) {
    std::memset(constants, 0, constants_bytes(layer));
    std::fill_n(reinterpret_cast<float*>(constants), layer.in_channels,
                static_cast<float>(layer.pad_value));
    WeightRows rows(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      const int8_t* values = kDense ? rows.planes(o) : rows.codes(o);
      auto* tile = reinterpret_cast<uint8_t*>(constants) + pad_bytes(layer) +
                   o / kChannels * tile_bytes(layer);
      const int lane = o % kChannels;
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        if constexpr (kDense) {
          uint8_t* chunk =
              tile + i / kChunk * (kChunk * kChannels * field_of(layer) / 8);
          neon::put_field(field_of(layer), static_cast<unsigned>(values[i]),
                          static_cast<int>(i % kChunk), lane, chunk);
        } else {
          reinterpret_cast<float*>(tile)[i * kChannels + lane] =
              static_cast<float>(values[i]);
        }
      }
    }
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, float* acc) {
    const auto* values = reinterpret_cast<const float*>(patches);
    const int64_t stride =
        static_cast<int64_t>(patch_bytes(layer) / sizeof(float));
    const auto* weights = reinterpret_cast<const uint8_t*>(
                              neon::behind_output(layer, constants)) +
                          pad_bytes(layer) + block * block_bytes(layer);
    const int8_t* table = neon::kCodes.of_planes[layer.weight_bits];
    const Tile tile = find_tile<kRows>(layer), single = find_tile<1>(layer);
    const int count = channels_in_block(layer.out_channels, block);
    for (int o = 0; o < count; o += kChannels, weights += tile_bytes(layer)) {
      for (int r = 0; r < rows; r += kRows) {
        (rows - r == 1 ? single : tile)(values + r * stride, stride, weights,
                                        row_values(layer) / kChunk, table,
                                        acc + r * kBlock + o);
      }
    }
  }

 private:
  template <int kPixels>
  static Tile find_tile(const Layer& layer) {
    if constexpr (kDense) {
      return layer.weight_bits == 1   ? float_tile<1, 1>
             : layer.weight_bits == 2 ? float_tile<2, 1>
                                      : float_tile<4, 1>;
    } else {
      return float_tile<32, kPixels>;
    }
  }

  static int field_of(const Layer& layer) {
    return kDense ? neon::field_bits(layer.weight_bits) : 32;
  }
  static size_t pad_bytes(const Layer& layer) {
    return round_up(pixel_bytes(layer), 64);
  }
  static int64_t row_values(const Layer& layer) {
    return (layer.weights_per_output() + kChunk - 1) / kChunk * kChunk;
  }
  static int64_t tile_bytes(const Layer& layer) {
    return row_values(layer) * kChannels * field_of(layer) / 8;
  }
};

template <bool kDense>
constexpr Kernel float_kernel(const char* name, Operator op, WidthSet inputs) {
  return TiledKernel<neon::OneMethod<Float<kDense>>>::kernel(name, op, inputs,
                                                             kWeightWidths, 0);
}

}  // namespace

extern constexpr Kernel kConvFloatNeon =
    float_kernel<false>("conv_2d_float_neon", Operator::kConv2D,
                        width_set(Type::kFloat32, Type::kUInt8));
extern constexpr Kernel kDenseFloatNeon =
    float_kernel<true>("fully_connected_float_neon", Operator::kFullyConnected,
                       width_set(Type::kFloat32));

}  // namespace aqe
