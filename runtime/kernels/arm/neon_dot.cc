// Dot product of codes with SDOT. A convolution's weights are int8; a dense
// layer, which waits for its weights, streams them at 1, 2 or 4 bits each.
#include "kernels/arm/neon_codes.h"
#include "kernels/arm/neon_sdot.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

using neon::kDotChannels;

template <bool kDense>
class Dot {
 public:
  using Acc = int32_t;
  static constexpr int kTile = kDense ? 1 : 4;

  // Constants: [16 channels][chunk].
  static size_t constants_bytes(const Layer& layer) {
    const int tiles = (layer.out_channels + kDotChannels - 1) / kDotChannels;
    return int64_t{tiles} * chunks(layer) * chunk_bytes(layer);
  }

  static void pack_constants(const Layer& layer, void* constants) {
    std::memset(constants, 0, constants_bytes(layer));
    const int field = field_of(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      const int channel = o % kDotChannels;
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        uint8_t* chunk =
            static_cast<uint8_t*>(constants) +
            (o / kDotChannels * chunks(layer) + i / 16) * chunk_bytes(layer);
        const int code = weight_code(layer, o, i);
        neon::put_field(
            field,
            kDense ? planes_from_code(layer.weight_bits, code)
                   : static_cast<uint8_t>(code),
            static_cast<int>(i % 16) / 4 * (kDotChannels / 4) + channel / 4,
            channel % 4 * 4 + static_cast<int>(i % 4), chunk);
      }
    }
  }

  static size_t scratch_bytes(const Layer& layer) {
    return neon::CodeRows::scratch_bytes(layer) + kTile * row_bytes(layer);
  }

  Dot(const Layer& layer, const char* constants, const void* input,
      char* scratch)
      : layer_(layer),
        weights_(reinterpret_cast<const uint8_t*>(constants)),
        codes_(layer, input, scratch),
        rows_(reinterpret_cast<int8_t*>(scratch) +
              neon::CodeRows::scratch_bytes(layer)) {
    vst1q_s8(table_, neon::code_table(layer.weight_bits));
  }

  void start_row(int n, int y) { codes_.start_row(n, y); }

  template <int kPixels>
  void accumulate(int x, int block, int32_t* acc) {
    const size_t bytes = row_bytes(layer_);
    for (int i = 0; i < kPixels; ++i)
      codes_.gather(x + i, rows_ + i * bytes, bytes);
    const neon::DotTile tile = kDense ? neon::kDotTileOfField[field_of(layer_)]
                               : kPixels == 1 ? neon::kDotTile1
                                              : neon::kDotTile4;
    const int64_t tile_bytes = chunks(layer_) * chunk_bytes(layer_);
    const int count = channels_in_block(layer_.out_channels, block);
    const uint8_t* weights =
        weights_ + int64_t{block} * (kBlock / kDotChannels) * tile_bytes;
    for (int o = 0; o < count; o += kDotChannels, weights += tile_bytes)
      tile(rows_, bytes, weights, chunks(layer_), table_, acc + o);
  }

 private:
  static int field_of(const Layer& layer) {
    return kDense ? neon::field_bits(layer.weight_bits) : 8;
  }
  static int64_t chunks(const Layer& layer) {
    return (layer.weights_per_output() + 15) / 16;
  }
  static int64_t chunk_bytes(const Layer& layer) {
    return kDotChannels * 2 * field_of(layer);
  }
  static int64_t row_bytes(const Layer& layer) { return chunks(layer) * 16; }

  const Layer& layer_;
  const uint8_t* weights_;
  neon::CodeRows codes_;
  int8_t* rows_;
  int8_t table_[16];
};

}  // namespace

extern const Kernel kConvDotNeon = neon::kernel<Dot<false>>(
    "conv_2d_dot_neon", Operator::kConv2D, kCodeWidths, kWeightWidths, kNeonDot,
    neon::has_one_group, kDotChannels);
extern const Kernel kDenseDotNeon = neon::kernel<Dot<true>>(
    "fully_connected_dot_neon", Operator::kFullyConnected, kCodeWidths,
    kWeightWidths, kNeonDot, neon::has_one_group, kDotChannels);

}  // namespace aqe
