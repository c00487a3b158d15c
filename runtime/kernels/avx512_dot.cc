// SHIFT and mixed widths with the dot product of AVX-512 VNNI, and the layer on
// the image in float.
//
// Codes are decoded to bytes while the patches are gathered. Four neighbouring
// bytes of a patch are broadcast against 16 output channels. In float one value
// is broadcast, and the order of the sum is that of the format.
#include <immintrin.h>

#include "kernels/avx512.h"
#include "kernels/avx512_codes.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#define AQE_AVX512_VNNI   \
  __attribute__((target(  \
      "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace aqe {
namespace {

constexpr int kMostRows = 12;  // positions at a time
constexpr int kVectors = 2;    // registers of 16 output channels at a time
constexpr int kChannels = kLanes * kVectors;
constexpr int kSplits = kBlock / kChannels;

// One broadcast of 32 bits against a register of weights.
struct ByteDot {
  using Lanes = Int32Lanes;
  AQE_AVX512_VNNI static inline __m512i broadcast(const void* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm512_set1_epi32(bytes);
  }
  AQE_AVX512_VNNI static inline __m512i load(const void* from) {
    return _mm512_load_si512(from);
  }
  AQE_AVX512_VNNI static inline __m512i add(__m512i acc, __m512i in,
                                            __m512i w) {
    return _mm512_dpbusd_epi32(acc, in, w);
  }
};

// Weights of 1 and 2 bits leave the magnitude of a product as it is, so the
// fused operation rounds as the product and the sum do.
template <bool kFused>
struct FloatDot {
  using Lanes = FloatLanes;
  AQE_AVX512_VNNI static inline __m512 broadcast(const void* patch) {
    return _mm512_set1_ps(*static_cast<const float*>(patch));
  }
  AQE_AVX512_VNNI static inline __m512 load(const void* from) {
    return _mm512_load_ps(from);
  }
  AQE_AVX512_VNNI static inline __m512 add(__m512 acc, __m512 in, __m512 w) {
    if constexpr (kFused) return _mm512_fmadd_ps(in, w, acc);
    return _mm512_add_ps(acc, _mm512_mul_ps(in, w));
  }
};

// kRowCount rows times 32 output channels.
template <class Dot, int kRowCount>
AQE_AVX512_VNNI void multiply_rows(const char* patch, size_t stride,
                                   const char* weights, int64_t steps,
                                   const void* init,
                                   typename Dot::Lanes::Acc* acc) {
  typename Dot::Lanes::Vector sums[kRowCount][kVectors];
#pragma GCC unroll 12
  for (int r = 0; r < kRowCount; ++r) {
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = Dot::load(static_cast<const char*>(init) + v * 64);
  }
  for (int64_t step = 0; step < steps; ++step) {
    const auto w0 = Dot::load(weights), w1 = Dot::load(weights + 64);
#pragma GCC unroll 12
    for (int r = 0; r < kRowCount; ++r) {
      const auto in = Dot::broadcast(patch + r * stride + step * 4);
      sums[r][0] = Dot::add(sums[r][0], in, w0);
      sums[r][1] = Dot::add(sums[r][1], in, w1);
    }
    weights += kVectors * 64;
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRowCount; ++r) {
    for (int v = 0; v < kVectors; ++v)
      Dot::Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
  }
}

// Constants: what the sums start with, int32 or float of each output channel;
// a pixel of padding; weights [block][split][step][channel of the split], four
// bytes or a float each.
struct Layout {
  int64_t steps;
  size_t init, pad, weights, end;
};

Layout layout(const Layer& layer) {
  const size_t channels = size_t{kBlock} * block_count(layer.out_channels);
  Layout at;
  at.steps = window_taps(layer) * (patch_pixel_bytes(layer) / 4);
  at.init = 0;
  at.pad = at.init + channels * 4;
  at.weights = at.pad + round_up(patch_pixel_bytes(layer), 64);
  at.end = at.weights + at.steps * channels * 4;
  return at;
}

size_t constants_bytes(const Layer& layer) { return layout(layer).end; }

void pack(const Layer& layer, void* constants) {
  const Layout at = layout(layer);
  auto* bytes = static_cast<char*>(constants);
  std::fill_n(bytes, at.end, 0);
  auto* init = reinterpret_cast<int32_t*>(bytes + at.init);
  const bool is_real = layer.float_accumulator();
  const int raise = is_real ? 0 : raise_of(layer.input);
  for (int c = 0; c < layer.in_channels; ++c) {
    if (is_real) {
      reinterpret_cast<float*>(bytes + at.pad)[c] =
          static_cast<float>(layer.pad_value);
    } else {
      bytes[at.pad + c] = static_cast<char>(layer.pad_value + raise);
    }
  }
  for (int o = 0; o < layer.out_channels; ++o) {
    char* own = bytes + at.weights +
                (o / kChannels * at.steps * kChannels + o % kChannels) * 4;
    int64_t sum = 0;
    for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
      const int code = weight_code(layer, o, i);
      const size_t byte = i / layer.in_channels * patch_pixel_bytes(layer) +
                          i % layer.in_channels * (is_real ? 4 : 1);
      char* at_step = own + byte / 4 * kChannels * 4;
      if (is_real) {
        const auto value = static_cast<float>(code);
        std::memcpy(at_step, &value, sizeof value);
      } else {
        at_step[byte % 4] = static_cast<char>(code);
        sum += code;
      }
    }
    // Wraps around as the sums do; the result lies within 32 bits.
    init[o] = static_cast<int32_t>(static_cast<uint32_t>(-raise * sum));
  }
}

template <class Dot>
struct Product {
  using Acc = typename Dot::Lanes::Acc;

  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up(window_taps(layer) * pixel_bytes(layer), 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return window_taps(layer) * pixel_bytes(layer) * kBlock;
  }
  static bool needs_correction(const Layer&) { return false; }

  static void load(const Layer& layer, const char* pixels, int count,
                   char* to) {
    load_pixels(layer, pixels, count, to);
  }

  static void pad(const Layer& layer, const void* constants, int count,
                  char* to) {
    const char* pixel =
        static_cast<const char*>(constants) + layout(layer).pad;
    for (int i = 0; i < count; ++i, to += pixel_bytes(layer))
      std::memcpy(to, pixel, pixel_bytes(layer));
  }

  static void finish(const Layer&, char*) {}

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, Acc* acc) {
    const Layout at = layout(layer);
    const auto* bytes = static_cast<const char*>(constants);
    const size_t stride = patch_bytes(layer);
    const size_t split_bytes = at.steps * kChannels * 4;
    for (int split = 0; split < kSplits; ++split) {
      const char* weights =
          bytes + at.weights + (block * kSplits + split) * split_bytes;
      const char* init = bytes + at.init + (block * kBlock + split * kChannels) * 4;
      for (int r = 0; r < rows; r += kMostRows) {
        const auto run = rows - r >= 12  ? multiply_rows<Dot, 12>
                         : rows - r >= 8 ? multiply_rows<Dot, 8>
                                         : multiply_rows<Dot, 4>;
        run(patches + r * stride, stride, weights, at.steps, init,
            acc + r * kBlock + split * kChannels);
      }
    }
  }

  static void correct(const Layer&, const void*, int64_t, int, Acc*) {}
  static void max(const Acc* row, Acc* best) {
    max_block<typename Dot::Lanes>(row, best);
  }
  static void store(const Layer& layer, const Acc* acc, int block,
                    char* pixel) {
    store_lanes<typename Dot::Lanes>(layer, acc, block, pixel);
  }
};

template <class Call>
auto with_method(const Layer& layer, Call call) {
  if (!layer.float_accumulator()) return call(Product<ByteDot>());
  return layer.weight_bits <= 2 ? call(Product<FloatDot<true>>())
                                : call(Product<FloatDot<false>>());
}

size_t scratch_bytes(const Layer& layer) {
  return with_method(layer, [&](auto method) {
    return tile_scratch_bytes<decltype(method)>(layer);
  });
}

int64_t units(const Layer& layer) {
  return with_method(
      layer, [&](auto method) { return tile_units<decltype(method)>(layer); });
}

void run(const Layer& layer, const void* constants, const void* input,
         void* output, void* scratch, int64_t begin, int64_t end) {
  with_method(layer, [&](auto method) {
    run_tiles<decltype(method)>(layer, constants, input, output, scratch, begin,
                                end);
  });
}

constexpr Kernel dot_kernel(const char* name, Operator op, WidthSet inputs,
                            uint32_t features) {
  return {name,       op,   inputs,        width_set(1, 2, 3, 4),
          features,   kMostRows, kChannels, fits_tiles,
          constants_bytes, pack, scratch_bytes, units,
          run};
}

constexpr WidthSet kCodes =
    width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kPacked4,
              Type::kInt8);

}  // namespace

extern const Kernel kConvDotAvx512 =
    dot_kernel("conv_2d_dot_avx512", Operator::kConv2D, kCodes,
               kAvx512 | kAvx512Vnni);
extern const Kernel kConvImageAvx512 =
    dot_kernel("conv_2d_image_avx512", Operator::kConv2D,
               width_set(Type::kFloat32, Type::kUInt8), kAvx512);

}  // namespace aqe
