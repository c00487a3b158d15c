// 8-bit images for the kernels of codes: bytes are pixels less 128, and sums
// those for which loops/pixels.h stands. Weights stay codes, so all channels
// must have one scale, by which sums are multiplied.
#pragma once

#include "kernels/arm/neon_codes.h"

#include <algorithm>
#include <vector>

#include "kernels/loops/pixels.h"

namespace aqe::neon {

// Constants: those of the `Method`; what sums start with, int32 of each output
// channel; TapSums of padding.
template <class Method>
struct Pixels : Method {
  static constexpr int kZero = 128;

  static size_t constants_bytes(const Layer& layer) {
    return own_offset(layer) + init_bytes(layer) + TapSums::bytes(layer);
  }
  static void pack(const Layer& layer, char* constants) {
    Method::pack(as_codes(layer), constants);
    char* own = constants + own_offset(layer);
    pack_offsets(layer, kZero, reinterpret_cast<int32_t*>(own),
                 reinterpret_cast<int32_t*>(own + init_bytes(layer)));
  }

  static bool decodes(const Layer&) { return true; }
  static void load(const Layer&, const char* pixels, int, int64_t bytes,
                   char* to) {
    for (int64_t i = 0; i < bytes; ++i)
      to[i] = static_cast<char>(pixels[i] ^ kZero);
  }
  static TapSums tap_sums(const Layer& layer, const void* constants) {
    return {layer, reinterpret_cast<const int32_t*>(own(layer, constants) +
                                                    init_bytes(layer))};
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, int32_t* acc) {
    Method::multiply(as_codes(layer), constants, patches, rows, block, acc);
    const auto* init = reinterpret_cast<const int32_t*>(own(layer, constants)) +
                       int64_t{block} * kBlock;
    const auto scale = static_cast<int32_t>(layer.input_scale[0]);
    const int count = channels_in_block(layer.out_channels, block);
    for (int r = 0; r < rows; ++r, acc += kBlock) {
      for (int o = 0; o < count; o += 4) {
        neon::store(acc + o, vmlaq_n_s32(neon::load(init + o),
                                         neon::load(acc + o), scale));
      }
    }
  }

 private:
  static Layer as_codes(const Layer& layer) {
    Layer codes = layer;
    codes.input = Type::kInt8;
    codes.pad_value = 0;
    return codes;
  }
  static size_t own_offset(const Layer& layer) {
    return Method::constants_bytes(as_codes(layer));
  }
  static size_t init_bytes(const Layer& layer) {
    return sizeof(int32_t) * kBlock * block_count(layer.out_channels);
  }
  static const char* own(const Layer& layer, const void* constants) {
    return behind_output(layer, static_cast<const char*>(constants)) +
           own_offset(layer);
  }
};

template <class Method>
struct PixelMethod : OneMethod<Pixels<Method>> {
  static void pack(const Layer& layer, void* constants) {
    std::vector<int32_t> thresholds(threshold_bytes(layer) / sizeof(int32_t));
    pack_whole_thresholds(layer, thresholds.data());
    OneMethod<Pixels<Method>>::pack(with_thresholds(layer, thresholds.data()),
                                    constants);
  }
};

inline bool fits_pixels(const Layer& layer) {
  return fits_tiles(layer) && has_whole_sums(layer) && has_one_scale(layer);
}

template <class Method>
constexpr Kernel pixel_kernel(const char* name, uint32_t features) {
  return TiledKernel<PixelMethod<Method>>::kernel(
      name, Operator::kConv2D, width_set(Type::kUInt8), kWeightWidths, features,
      fits_pixels);
}

}  // namespace aqe::neon
