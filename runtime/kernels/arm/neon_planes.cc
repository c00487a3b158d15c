// XNOR on bit planes with NEON: the constants, and the rows that the inner loop
// of neon_planes.h runs over.
#include "kernels/arm/neon_planes.h"

#include "kernels/arm/neon_conv.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

using neon::kPlaneBytes;
using neon::kQuad;
using neon::plane_count;

// Words of one operand's group, as its file has them, to magnitudes and sign.
void split(int bits, const uint64_t* group, uint64_t* planes) {
  if (bits <= 2) {
    std::copy_n(group, bits, planes);
  } else {
    planes[0] = group[0] & ~group[1];
    planes[1] = ~group[0] & group[1];
    planes[2] = group[0] & group[1];
    planes[3] = group[2];
  }
}

// Where word `index` of the first plane stands in a row; the next plane's is
// 2 words further.
int64_t word_position(int64_t index, int planes) {
  return index / 2 * 2 * planes + index % 2;
}

// Puts `count` groups into a row, from word `index` on.
void put_words(const uint64_t* groups, int bits, int64_t index, int64_t count,
               uint64_t* row) {
  if (bits == 1) {
    std::memcpy(row + index, groups, size_t{8} * count);
    return;
  }
  const int planes = plane_count(bits);
  for (const int64_t end = index + count; index < end; ++index) {
    uint64_t split_planes[4];
    split(bits, groups, split_planes);
    uint64_t* at = row + word_position(index, planes);
    for (int p = 0; p < planes; ++p) at[2 * p] = split_planes[p];
    groups += bits;
  }
}

class Planes {
 public:
  using Acc = int32_t;
  static constexpr int kTile = 4;

  // Constants: a pixel of the padding code; for each output channel what is
  // the same at all positions; for 1-bit input, for each tap and output channel
  // the sum of the weights, to be taken off where the tap is padded; the
  // weights, after which a step more is read than there is.
  static size_t constants_bytes(const Layer& layer) {
    return weights_offset(layer) + int64_t{quads(layer)} * quad_bytes(layer) +
           kQuad * kPlaneBytes;
  }

  static void pack_constants(const Layer& layer, void* constants) {
    auto* bytes = static_cast<char*>(constants);
    std::memset(bytes, 0, constants_bytes(layer));
    for (int c = 0; layer.pad_value != 0 && c < layer.in_channels; ++c)
      store_code(layer.input, bytes, c, layer.pad_value);

    auto* base = reinterpret_cast<int32_t*>(bytes + base_offset(layer));
    auto* tap_sums = reinterpret_cast<int32_t*>(bytes + tap_offset(layer));
    const int planes = plane_count(layer.weight_bits);
    const int groups = words(layer.in_channels);
    for (int o = 0; o < layer.out_channels; ++o) {
      auto* quad = reinterpret_cast<uint64_t*>(bytes + weights_offset(layer) +
                                               o / kQuad * quad_bytes(layer));
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        const int64_t tap = i / layer.in_channels;
        const int c = static_cast<int>(i % layer.in_channels);
        const int code = weight_code(layer, o, i);
        base[o] += code < 0 ? -code : code;
        if (layer.input == Type::kPacked1 && layer.pad_value == 0)
          tap_sums[(o / kBlock * neon::taps(layer) + tap) * kBlock +
                   o % kBlock] += code;
        const int64_t index = tap * groups + c / 64;
        uint64_t* word =
            quad + (index / 2 * kQuad + o % kQuad) * 2 * planes + index % 2;
        const uint64_t bit = uint64_t{1} << (c % 64);
        if (code < 0) word[2 * (planes - 1)] |= bit;
        if (planes > 1 && code != 0)
          word[2 * (std::abs(code) / 2)] |= bit;  // 1, 2, 4 to 0, 1, 2
      }
    }
  }

  static size_t scratch_bytes(const Layer& layer) {
    return kTile * row_bytes(layer) + kPlaneBytes;
  }

  Planes(const Layer& layer, const char* constants, const void* input,
         char* scratch)
      : layer_(layer),
        constants_(constants),
        input_(input),
        rows_(scratch),
        tile_(neon::find_tile<kTile>(layer)),
        single_(neon::find_tile<1>(layer)) {}

  void start_row(int n, int y) {
    n_ = n;
    y_ = y;
  }

  template <int kPixels>
  void accumulate(int x, int block, int32_t* acc) {
    bool is_padded[kPixels];
    for (int i = 0; i < kPixels; ++i)
      is_padded[i] = gather(x + i, rows_ + i * row_bytes(layer_));
    const neon::PlanesTile tile = kPixels == 1 ? single_ : tile_;
    const int step =
        neon::tile_pixels(bits(layer_.input), layer_.weight_bits, kPixels);
    const int count = channels_in_block(layer_.out_channels, block);
    const auto* weights = reinterpret_cast<const uint8_t*>(
        constants_ + weights_offset(layer_) +
        int64_t{block} * (kBlock / kQuad) * quad_bytes(layer_));
    for (int o = 0; o < count; o += kQuad, weights += quad_bytes(layer_)) {
      for (int i = 0; i < kPixels; i += step) {
        tile(reinterpret_cast<const uint8_t*>(rows_) + i * row_bytes(layer_),
             row_bytes(layer_), weights, chunks(layer_), acc + i * kBlock + o);
      }
    }
    for (int i = 0; i < kPixels; ++i) {
      finish(block, rows_ + i * row_bytes(layer_), acc + i * kBlock);
      if (is_padded[i] && layer_.input == Type::kPacked1 &&
          layer_.pad_value == 0)
        take_off_padding(x + i, block, acc + i * kBlock);
    }
  }

 private:
  static int quads(const Layer& layer) {
    return (layer.out_channels + kQuad - 1) / kQuad;
  }
  static int64_t chunks(const Layer& layer) {
    return (neon::taps(layer) * words(layer.in_channels) + 1) / 2;
  }
  static int64_t row_bytes(const Layer& layer) {
    return chunks(layer) * kPlaneBytes * plane_count(bits(layer.input));
  }
  static int64_t quad_bytes(const Layer& layer) {
    return chunks(layer) * kPlaneBytes * plane_count(layer.weight_bits) * kQuad;
  }
  static size_t base_offset(const Layer& layer) {
    return neon::aligned(pixel_bytes(layer.input, layer.in_channels));
  }
  static size_t tap_offset(const Layer& layer) {
    return base_offset(layer) +
           size_t{4} * kBlock * block_count(layer.out_channels);
  }
  static size_t weights_offset(const Layer& layer) {
    const bool has_tap_sums =
        layer.input == Type::kPacked1 && layer.pad_value == 0;
    return tap_offset(layer) +
           (has_tap_sums
                ? size_t{4} * kBlock * block_count(layer.out_channels) *
                      neon::taps(layer)
                : 0);
  }

  // Copies what the window sees at one position into a row; whether some of it
  // is padded.
  bool gather(int x, char* row) const {
    const int groups = words(layer_.in_channels);
    const int width = bits(layer_.input);
    const int planes = plane_count(width);
    auto* to = reinterpret_cast<uint64_t*>(row);
    bool is_padded = false;
    int64_t index = 0;
    neon::for_each_run(
        layer_, y_, x,
        [&](int64_t, int64_t count, int64_t in_y, int64_t in_x,
            bool is_inside) {
          is_padded |= !is_inside;
          const auto* from = reinterpret_cast<const uint64_t*>(
              is_inside ? pixel_at(layer_.input, layer_.in_channels, input_,
                                   (int64_t{n_} * layer_.in_height + in_y) *
                                           layer_.in_width +
                                       in_x)
                        : constants_);
          // There is one padding pixel only.
          const int64_t repeats = is_inside ? 1 : count;
          const int64_t run = is_inside ? count * groups : groups;
          for (int64_t i = 0; i < repeats; ++i, index += run)
            put_words(from, width, index, run, to);
        });
    if (index % 2) {
      uint64_t* at = to + word_position(index, planes);
      for (int p = 0; p < planes; ++p) at[2 * p] = 0;
    }
    return is_padded;
  }

  // Counts to sums.
  void finish(int block, const char* row, int32_t* acc) const {
    if (layer_.input == Type::kPacked2 && layer_.weight_bits == 2) return;
    const auto* base =
        reinterpret_cast<const int32_t*>(constants_ + base_offset(layer_)) +
        int64_t{block} * kBlock;
    const int32x4_t of_row = vdupq_n_s32(
        layer_.input == Type::kPacked1 ? 0 : sum_of_magnitudes(row));
    for (int o = 0; o < kBlock; o += 4) {
      const int32x4_t all =
          layer_.input == Type::kPacked1 ? vld1q_s32(base + o) : of_row;
      vst1q_s32(acc + o, vsubq_s32(all, vshlq_n_s32(vld1q_s32(acc + o), 1)));
    }
  }

  int32_t sum_of_magnitudes(const char* row) const {
    const int planes = plane_count(bits(layer_.input));
    const auto* bytes = reinterpret_cast<const uint8_t*>(row);
    uint32x4_t sum = vdupq_n_u32(0);
    for (int64_t chunk = 0; chunk < chunks(layer_); ++chunk) {
      uint8x16_t counts = vdupq_n_u8(0);
      for (int k = planes - 2; k >= 0; --k) {
        counts = vaddq_u8(vshlq_n_u8(counts, 1),
                          vcntq_u8(vld1q_u8(bytes + k * kPlaneBytes)));
      }
      sum = vpadalq_u16(sum, vpaddlq_u8(counts));
      bytes += planes * kPlaneBytes;
    }
    return static_cast<int32_t>(vaddvq_u32(sum));
  }

  void take_off_padding(int x, int block, int32_t* acc) const {
    const auto* sums =
        reinterpret_cast<const int32_t*>(constants_ + tap_offset(layer_)) +
        block * neon::taps(layer_) * kBlock;
    neon::for_each_run(
        layer_, y_, x,
        [&](int64_t tap, int64_t count, int64_t, int64_t, bool is_inside) {
          for (int64_t i = tap; !is_inside && i < tap + count; ++i)
            subtract(sums + i * kBlock, acc);
        });
  }

  static void subtract(const int32_t* values, int32_t* acc) {
    for (int o = 0; o < kBlock; o += 4)
      vst1q_s32(acc + o, vsubq_s32(vld1q_s32(acc + o), vld1q_s32(values + o)));
  }

  const Layer& layer_;
  const char* constants_;
  const void* input_;
  char* rows_;
  neon::PlanesTile tile_, single_;
  int n_ = 0, y_ = 0;
};

bool has_tile(const Layer& layer) {
  const int in = bits(layer.input), weight = layer.weight_bits;
  return layer.groups == 1 && (in == 1 || weight == 1 || in + weight == 4);
}

constexpr WidthSet kOneTwo = width_set(1, 2);
constexpr WidthSet kOneToThree = width_set(1, 2, 3);

}  // namespace

extern const Kernel kConvXnorNeon =
    neon::kernel<Planes>("conv_2d_xnor_neon", Operator::kConv2D, kOneTwo,
                         kOneTwo, 0, neon::has_one_group, kQuad);
extern const Kernel kConvPlanesNeon =
    neon::kernel<Planes>("conv_2d_planes_neon", Operator::kConv2D, kOneToThree,
                         kOneToThree, 0, has_tile, kQuad);
extern const Kernel kDensePlanesNeon = neon::kernel<Planes>(
    "fully_connected_planes_neon", Operator::kFullyConnected, kOneToThree,
    kOneToThree, 0, has_tile, kQuad);

}  // namespace aqe
