// XNOR on bit planes with NEON: the constants, and the rows that the inner loop
// of neon_planes.h runs over.
#include "kernels/arm/neon.h"

#include <cstdlib>

#include "kernels/arm/neon_output.h"
#include "kernels/arm/neon_planes.h"
#include "kernels/kernels.h"
#include "kernels/loops/weights.h"

namespace aqe {
namespace {

using neon::kPlaneBytes;
using neon::kQuad;
using neon::plane_count;

// The words of a group of 3-bit codes, as a file has them, to magnitudes 1, 2,
// 4 and sign.
void split(const uint64_t* group, uint64_t* planes) {
  planes[0] = group[0] & ~group[1];
  planes[1] = ~group[0] & group[1];
  planes[2] = group[0] & group[1];
  planes[3] = group[2];
}

int64_t groups_of_window(const Layer& layer) {
  return window_taps(layer) * words(layer.in_channels);
}

bool needs_tap_sums(const Layer& layer) {
  return layer.input == Type::kPacked1 && layer.pad_value == 0 &&
         layer.op == Operator::kConv2D;
}

// A group in a patch has its planes as the inner loop wants them.
size_t patch_pixel_bytes(const Layer& layer) {
  return size_t{8} * words(layer.in_channels) * plane_count(bits(layer.input));
}

// Constants: a pixel of padding as in a patch; for each output channel what is
// the same at all positions; for 1-bit input padded with 0, TapSums; the
// weights, after which a step more is read than there is. A step is two groups,
// [plane] [group]; weights are [4 channels][step][channel].
struct Layout {
  int64_t chunks, row_bytes, quad_bytes;
  size_t base, tap_sums, weights, end;

  explicit Layout(const Layer& layer) {
    const size_t channels = size_t{kBlock} * block_count(layer.out_channels);
    const int quads = (layer.out_channels + kQuad - 1) / kQuad;
    chunks = (groups_of_window(layer) + 1) / 2;
    row_bytes = chunks * kPlaneBytes * plane_count(bits(layer.input));
    quad_bytes = chunks * kPlaneBytes * plane_count(layer.weight_bits) * kQuad;
    base = round_up(patch_pixel_bytes(layer), 64);
    tap_sums = base + 4 * channels;
    weights = tap_sums + (needs_tap_sums(layer) ? TapSums::bytes(layer) : 0);
    end = weights + quads * quad_bytes + kQuad * kPlaneBytes;
  }
};

struct Planes : neon::NeonOutput<int32_t> {
  static constexpr int kRows = 4, kChannels = kQuad;

  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  // Behind a row one number of its own, and a step that is only read.
  static size_t patch_bytes(const Layer& layer) {
    return round_up(Layout(layer).row_bytes + 8 + kPlaneBytes, 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return Layout(layer).quad_bytes * (kBlock / kQuad);
  }
  static size_t constants_bytes(const Layer& layer) {
    return Layout(layer).end;
  }

  static void pack(const Layer& layer, char* constants) {
    const Layout at(layer);
    std::memset(constants, 0, at.end);
    for (int c = 0; layer.pad_value != 0 && c < layer.in_channels; ++c)
      store_code(layer.input, constants, c, layer.pad_value);
    if (layer.input == Type::kPacked3) {
      // From the last on, since a group grows.
      auto* pixel = reinterpret_cast<uint64_t*>(constants);
      for (int g = words(layer.in_channels) - 1; g >= 0; --g) {
        uint64_t group[3];
        std::copy_n(pixel + 3 * g, 3, group);
        split(group, pixel + 4 * g);
      }
    }
    auto* base = reinterpret_cast<int32_t*>(constants + at.base);
    auto* tap_sums = reinterpret_cast<int32_t*>(constants + at.tap_sums);
    const int planes = plane_count(layer.weight_bits);
    WeightRows rows(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      auto* quad = reinterpret_cast<uint64_t*>(constants + at.weights +
                                               o / kQuad * at.quad_bytes);
      const int8_t* codes = rows.codes(o);
      for (int64_t tap = 0; tap < window_taps(layer); ++tap) {
        for (int c = 0; c < layer.in_channels; ++c) {
          const int code = *codes++;
          base[o] += code < 0 ? -code : code;
          if (needs_tap_sums(layer))
            TapSums::at_tap(layer, tap, tap_sums)[o] += code;
          const int64_t index = tap * words(layer.in_channels) + c / 64;
          uint64_t* word =
              quad + (index / 2 * kQuad + o % kQuad) * 2 * planes + index % 2;
          const uint64_t bit = uint64_t{1} << (c % 64);
          if (code < 0) word[2 * (planes - 1)] |= bit;
          if (planes > 1 && code != 0)
            word[2 * (std::abs(code) / 2)] |= bit;  // 1, 2, 4 to 0, 1, 2
        }
      }
    }
    if (needs_tap_sums(layer)) TapSums::integrate(layer, tap_sums);
  }

  static TapSums tap_sums(const Layer& layer, const void* constants) {
    if (!needs_tap_sums(layer)) return {};
    return TapSums(layer, reinterpret_cast<const int32_t*>(
                              neon::behind_output(layer, constants) +
                              Layout(layer).tap_sums));
  }

  static void load(const Layer& layer, const char* pixels, int, int64_t bytes,
                   char* to) {
    const int width = bits(layer.input);
    if (width <= 2) {
      std::memcpy(to, pixels, bytes);
      return;
    }
    const auto* group = reinterpret_cast<const uint64_t*>(pixels);
    const auto* end = reinterpret_cast<const uint64_t*>(pixels + bytes);
    auto* planes = reinterpret_cast<uint64_t*>(to);
    for (; group < end; group += width, planes += plane_count(width))
      split(group, planes);
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return neon::behind_output(layer, constants);
  }

  // Puts the same plane of two groups side by side.
  static void finish(const Layer& layer, char* patch) {
    const Layout at(layer);
    const int planes = plane_count(bits(layer.input));
    auto* row = reinterpret_cast<uint64_t*>(patch);
    if (groups_of_window(layer) % 2)
      std::fill_n(row + groups_of_window(layer) * planes, planes, uint64_t{0});
    if (planes == 1) return;
    for (int64_t chunk = 0; chunk < at.chunks; ++chunk, row += 2 * planes) {
      uint64_t pair[8];
      std::copy_n(row, 2 * planes, pair);
      for (int p = 0; p < planes; ++p) {
        row[2 * p] = pair[p];
        row[2 * p + 1] = pair[planes + p];
      }
    }
    const int32_t sum = sum_of_magnitudes(layer, patch);
    std::memcpy(patch + at.row_bytes, &sum, sizeof sum);
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, int32_t* acc) {
    const Layout at(layer);
    const char* own = neon::behind_output(layer, constants);
    const size_t stride = patch_bytes(layer);
    const auto* patch = reinterpret_cast<const uint8_t*>(patches);
    const auto* weights = reinterpret_cast<const uint8_t*>(own + at.weights) +
                          block * block_bytes(layer);
    const auto tile = neon::find_tile<kRows>(layer);
    const auto single = neon::find_tile<1>(layer);
    const int step =
        neon::tile_pixels(bits(layer.input), layer.weight_bits, kRows);
    const int count = channels_in_block(layer.out_channels, block);
    for (int o = 0; o < count; o += kQuad, weights += at.quad_bytes) {
      for (int r = 0; r < rows; r += step) {
        (rows - r == 1 ? single : tile)(patch + r * stride, stride, weights,
                                        at.chunks, acc + r * kBlock + o);
      }
    }
    if (layer.input == Type::kPacked2 && layer.weight_bits == 2) return;
    const auto* base =
        reinterpret_cast<const int32_t*>(own + at.base) + block * kBlock;
    for (int r = 0; r < rows; ++r, acc += kBlock) {
      int32_t sum = 0;
      if (layer.input != Type::kPacked1)
        std::memcpy(&sum, patches + r * stride + at.row_bytes, sizeof sum);
      for (int o = 0; o < kBlock; o += 4) {
        const int32x4_t all = layer.input == Type::kPacked1
                                  ? vld1q_s32(base + o)
                                  : vdupq_n_s32(sum);
        vst1q_s32(acc + o, vsubq_s32(all, vshlq_n_s32(vld1q_s32(acc + o), 1)));
      }
    }
  }

 private:
  static int32_t sum_of_magnitudes(const Layer& layer, const char* row) {
    const int planes = plane_count(bits(layer.input));
    const auto* bytes = reinterpret_cast<const uint8_t*>(row);
    uint32x4_t sum = vdupq_n_u32(0);
    for (int64_t chunk = 0; chunk < Layout(layer).chunks; ++chunk) {
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
};

bool has_tile(const Layer& layer) {
  const int in = bits(layer.input), weight = layer.weight_bits;
  return fits_tiles(layer) && (in == 1 || weight == 1 || in + weight == 4);
}

constexpr Kernel planes_kernel(const char* name, Operator op, WidthSet widths) {
  return TiledKernel<neon::OneMethod<Planes>>::kernel(name, op, widths, widths,
                                                      0, has_tile);
}

constexpr Kernel xnor_kernel() {
  Kernel kernel =
      planes_kernel("conv_2d_xnor_neon", Operator::kConv2D, width_set(1, 2));
  kernel.is_worthwhile = [](const Layer& layer) {
    return bits(layer.input) * layer.weight_bits <= 2 || !neon::has_dot();
  };
  return kernel;
}

}  // namespace

extern constexpr Kernel kConvXnorNeon = xnor_kernel();
extern constexpr Kernel kConvPlanesNeon =
    planes_kernel("conv_2d_planes_neon", Operator::kConv2D, width_set(1, 2, 3));
extern constexpr Kernel kDensePlanesNeon =
    planes_kernel("fully_connected_planes_neon", Operator::kFullyConnected,
                  width_set(1, 2, 3));

}  // namespace aqe
