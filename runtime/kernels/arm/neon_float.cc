// Layers with float or image input and NEON. Output channels lie side by side
// in registers, so each one's products are added in the order of the format.
// A product with a power of two is exact, so fusing it with the addition
// changes nothing.
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
// bits each.
template <bool kDense>
class Float {
 public:
  using Acc = float;
  static constexpr int kTile = kDense ? 1 : 4;

  // Constants: [16 channels][chunk][value].
  static size_t constants_bytes(const Layer& layer) {
    const int tiles = (layer.out_channels + kChannels - 1) / kChannels;
    return int64_t{tiles} * tile_bytes(layer);
  }

  static void pack_constants(const Layer& layer, void* constants) {
    std::memset(constants, 0, constants_bytes(layer));
    for (int o = 0; o < layer.out_channels; ++o) {
      auto* tile =
          static_cast<uint8_t*>(constants) + o / kChannels * tile_bytes(layer);
      const int lane = o % kChannels;
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        const int code = weight_code(layer, o, i);
        if constexpr (kDense) {
          uint8_t* chunk =
              tile + i / kChunk * (kChunk * kChannels * field_of(layer) / 8);
          neon::put_field(field_of(layer),
                          planes_from_code(layer.weight_bits, code),
                          static_cast<int>(i % kChunk), lane, chunk);
        } else {
          reinterpret_cast<float*>(tile)[i * kChannels + lane] =
              static_cast<float>(code);
        }
      }
    }
  }

  static size_t scratch_bytes(const Layer& layer) {
    return kTile * row_values(layer) * sizeof(float);
  }

  Float(const Layer& layer, const char* constants, const void* input,
        char* scratch)
      : layer_(layer),
        weights_(reinterpret_cast<const uint8_t*>(constants)),
        input_(input),
        rows_(reinterpret_cast<float*>(scratch)) {
    vst1q_s8(table_, neon::code_table(layer.weight_bits));
  }

  void start_row(int n, int y) {
    n_ = n;
    y_ = y;
  }

  template <int kPixels>
  void accumulate(int x, int block, float* acc) {
    const int64_t values = row_values(layer_);
    for (int i = 0; i < kPixels; ++i) gather(x + i, rows_ + i * values);
    const Tile tile = find_tile<kPixels>(layer_);
    const int count = channels_in_block(layer_.out_channels, block);
    const uint8_t* weights =
        weights_ + int64_t{block} * (kBlock / kChannels) * tile_bytes(layer_);
    for (int o = 0; o < count; o += kChannels, weights += tile_bytes(layer_))
      tile(rows_, values, weights, values / kChunk, table_, acc + o);
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
  static int64_t row_values(const Layer& layer) {
    return (layer.weights_per_output() + kChunk - 1) / kChunk * kChunk;
  }
  static int64_t tile_bytes(const Layer& layer) {
    return row_values(layer) * kChannels * field_of(layer) / 8;
  }

  // What the window sees at one position; zeros after the last value.
  void gather(int x, float* row) const {
    float* to = row;
    const int channels = layer_.in_channels;
    neon::for_each_run(
        layer_, y_, x,
        [&](int64_t, int64_t count, int64_t in_y, int64_t in_x,
            bool is_inside) {
          const int64_t run = count * channels;
          const int64_t first =
              ((int64_t{n_} * layer_.in_height + in_y) * layer_.in_width +
               in_x) *
              channels;
          if (!is_inside) {
            std::fill_n(to, run, static_cast<float>(layer_.pad_value));
          } else if (layer_.input == Type::kFloat32) {
            std::copy_n(static_cast<const float*>(input_) + first, run, to);
          } else {
            const auto* from = static_cast<const uint8_t*>(input_) + first;
            for (int64_t i = 0; i < run; i += channels) {
              for (int c = 0; c < channels; ++c) {
                to[i + c] =
                    static_cast<float>(from[i + c]) * layer_.input_scale[c] +
                    layer_.input_offset[c];
              }
            }
          }
          to += run;
        });
    std::fill(to, row + row_values(layer_), 0.0f);
  }

  const Layer& layer_;
  const uint8_t* weights_;
  const void* input_;
  float* rows_;
  int8_t table_[16];
  int n_ = 0, y_ = 0;
};

}  // namespace

extern const Kernel kConvFloatNeon = neon::kernel<Float<false>>(
    "conv_2d_float_neon", Operator::kConv2D,
    width_set(Type::kFloat32, Type::kUInt8), kWeightWidths, 0,
    neon::has_one_group, kChannels);
extern const Kernel kDenseFloatNeon = neon::kernel<Float<true>>(
    "fully_connected_float_neon", Operator::kFullyConnected,
    width_set(Type::kFloat32), kWeightWidths, 0, neon::has_one_group,
    kChannels);

}  // namespace aqe
