// Dot product of codes with SDOT, or with SMMLA, which does two rows by two
// channels at a time. A convolution's weights are int8; a dense layer, which
// waits for its weights, streams them at 1, 2 or 4 bits each.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_codes.h"
#include "kernels/arm/neon_i8mm.h"
#include "kernels/arm/neon_pixels.h"
#include "kernels/arm/neon_sdot.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

using neon::kDotChannels;

// What a `Loop` says: codes of a channel that lie side by side in a chunk; bits
// of a weight; the tiles for four rows and for one.
struct DotLoop {
  static constexpr int kTogether = 4;
  static int field(const Layer&) { return 8; }
  static neon::DotTile tile(const Layer&) { return neon::kDotTile4; }
  static neon::DotTile single(const Layer&) { return neon::kDotTile1; }
};

struct MatrixLoop {
  static constexpr int kTogether = 8;
  static int field(const Layer&) { return 8; }
  static neon::DotTile tile(const Layer&) { return neon::kMatrixTile4; }
  // Rows behind the last are there to be read.
  static neon::DotTile single(const Layer&) { return neon::kMatrixTile4; }
};

struct DenseLoop {
  static constexpr int kTogether = 4;
  static int field(const Layer& layer) {
    return neon::field_bits(layer.weight_bits);
  }
  static neon::DotTile tile(const Layer& layer) {
    return neon::kDotTile4OfField[field(layer)];
  }
  static neon::DotTile single(const Layer& layer) {
    return neon::kDotTile1OfField[field(layer)];
  }
};

template <class Loop>
struct Dot : neon::CodePatches<Dot<Loop>> {
  using Patches = neon::CodePatches<Dot<Loop>>;
  static constexpr int kRows = 4, kChannels = kDotChannels;

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
    constexpr int kOfVector = 16 / Loop::kTogether;  // channels
    std::memset(constants, 0, constants_bytes(layer));
    Patches::pack_pad_pixel(layer, constants);
    auto* weights =
        reinterpret_cast<uint8_t*>(constants) + Patches::pad_bytes(layer);
    const int field = Loop::field(layer);
    WeightRows rows(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      const int8_t* values = field == 8 ? rows.codes(o) : rows.planes(o);
      const int channel = o % kDotChannels;
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        uint8_t* chunk = weights + o / kDotChannels * tile_bytes(layer) +
                         i / 16 * chunk_bytes(layer);
        const int code = static_cast<int>(i % 16);
        neon::put_field(
            field, static_cast<uint8_t>(values[i]),
            code / Loop::kTogether * (kDotChannels / kOfVector) +
                channel / kOfVector,
            channel % kOfVector * Loop::kTogether + code % Loop::kTogether,
            chunk);
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
    const neon::DotTile tile = Loop::tile(layer), single = Loop::single(layer);
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
  static int64_t chunks(const Layer& layer) {
    return (layer.weights_per_output() + 15) / 16;
  }
  static int64_t chunk_bytes(const Layer& layer) {
    return kDotChannels * 2 * Loop::field(layer);
  }
  static int64_t tile_bytes(const Layer& layer) {
    return chunks(layer) * chunk_bytes(layer);
  }
};

template <class Loop>
constexpr Kernel dot_kernel(const char* name, Operator op, uint32_t features) {
  return TiledKernel<neon::OneMethod<Dot<Loop>>>::kernel(
      name, op, kCodeWidths, kWeightWidths, features);
}

constexpr Kernel matrix_kernel() {
  Kernel kernel =
      dot_kernel<MatrixLoop>("conv_2d_i8mm_neon", Operator::kConv2D, kNeonI8mm);
  // Where one of the two has 1 bit and the other not more than 2, XNOR is.
  kernel.is_worthwhile = [](const Layer& layer) {
    return bits(layer.input) * layer.weight_bits > 2;
  };
  return kernel;
}

}  // namespace

extern constexpr Kernel kConvMatrixNeon = matrix_kernel();
extern constexpr Kernel kConvDotNeon =
    dot_kernel<DotLoop>("conv_2d_dot_neon", Operator::kConv2D, kNeonDot);
extern constexpr Kernel kConvPixelsMatrixNeon =
    neon::pixel_kernel<Dot<MatrixLoop>>("conv_2d_pixels_i8mm_neon", kNeonI8mm);
extern constexpr Kernel kConvPixelsDotNeon =
    neon::pixel_kernel<Dot<DotLoop>>("conv_2d_pixels_dot_neon", kNeonDot);
extern constexpr Kernel kDenseDotNeon = dot_kernel<DenseLoop>(
    "fully_connected_dot_neon", Operator::kFullyConnected, kNeonDot);

}  // namespace aqe
