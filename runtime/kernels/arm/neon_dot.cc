// Dot product of codes with SDOT. A convolution's weights are int8; a dense
// layer, which waits for its weights, streams them at 1, 2 or 4 bits each.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_codes.h"
#include "kernels/arm/neon_sdot.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

using neon::kDotChannels;

template <bool kDense>
struct Dot : neon::CodePatches<Dot<kDense>> {
  using Patches = neon::CodePatches<Dot<kDense>>;
  static constexpr int kRows = kDense ? 1 : 4, kChannels = kDotChannels;

  static int64_t row_bytes(const Layer& layer) { return chunks(layer) * 16; }
  static size_t block_bytes(const Layer& layer) {
    return tile_bytes(layer) * (kBlock / kDotChannels);
  }

  // Constants: a pixel of padding; [16 channels][chunk].
  static size_t constants_bytes(const Layer& layer) {
    const int tiles = (layer.out_channels + kDotChannels - 1) / kDotChannels;
    return Patches::pad_bytes(layer) + tiles * tile_bytes(layer);
  }

  static void pack(const Layer& layer, char* constants) {
    std::memset(constants, 0, constants_bytes(layer));
    Patches::pack_pad_pixel(layer, constants);
    auto* weights =
        reinterpret_cast<uint8_t*>(constants) + Patches::pad_bytes(layer);
    const int field = field_of(layer);
    WeightRows rows(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      const int8_t* values = kDense ? rows.planes(o) : rows.codes(o);
      const int channel = o % kDotChannels;
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        uint8_t* chunk = weights + o / kDotChannels * tile_bytes(layer) +
                         i / 16 * chunk_bytes(layer);
        neon::put_field(
            field, static_cast<uint8_t>(values[i]),
            static_cast<int>(i % 16) / 4 * (kDotChannels / 4) + channel / 4,
            channel % 4 * 4 + static_cast<int>(i % 4), chunk);
      }
    }
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, int32_t* acc) {
    const size_t stride = Patches::patch_bytes(layer);
    const auto* weights = reinterpret_cast<const uint8_t*>(
                              neon::behind_output(layer, constants)) +
                          Patches::pad_bytes(layer) +
                          block * block_bytes(layer);
    const int8_t* table = neon::kCodes.of_planes[layer.weight_bits];
    const neon::DotTile tile =
        kDense ? neon::kDotTileOfField[field_of(layer)] : neon::kDotTile4;
    const neon::DotTile single = kDense ? tile : neon::kDotTile1;
    const int count = channels_in_block(layer.out_channels, block);
    for (int o = 0; o < count;
         o += kDotChannels, weights += tile_bytes(layer)) {
      for (int r = 0; r < rows; r += kRows) {
        (rows - r == 1 ? single : tile)(
            reinterpret_cast<const int8_t*>(patches) + r * stride, stride,
            weights, chunks(layer), table, acc + r * kBlock + o);
      }
    }
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
  static int64_t tile_bytes(const Layer& layer) {
    return chunks(layer) * chunk_bytes(layer);
  }
};

template <bool kDense>
constexpr Kernel dot_kernel(const char* name, Operator op) {
  return TiledKernel<neon::OneMethod<Dot<kDense>>>::kernel(
      name, op, kCodeWidths, kWeightWidths, kNeonDot);
}

}  // namespace

extern constexpr Kernel kConvDotNeon =
    dot_kernel<false>("conv_2d_dot_neon", Operator::kConv2D);
extern constexpr Kernel kDenseDotNeon =
    dot_kernel<true>("fully_connected_dot_neon", Operator::kFullyConnected);

}  // namespace aqe
