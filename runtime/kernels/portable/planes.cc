// XNOR on bit planes in plain C++, for pairs of widths of which one is 1 or 2
// bits.
//
// A code is a sign times a power of two, so a tensor is a sign plane and one
// "magnitude is 2^k" plane for each k. The dot product is then, over all pairs
// of magnitudes, 2^(j + k) * (popcount(a_j & b_k) - 2 * popcount(a_j & b_k &
// (sign_a ^ sign_b))).
#include <algorithm>

#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#include "kernels/kernels.h"
#include "kernels/loops/weights.h"
#include "kernels/portable/conv.h"

namespace aqe {
namespace {

// ARMv7 counts bits in vectors only; compilers call a function that looks each
// byte up.
inline int ones(uint64_t word) {
#if defined(__ARM_NEON) && !defined(__aarch64__)
  const uint16x4_t pairs = vpaddl_u8(vcnt_u8(vcreate_u8(word)));
  return static_cast<int>(vget_lane_u64(vpaddl_u32(vpaddl_u16(pairs)), 0));
#else
  return __builtin_popcountll(word);
#endif
}

constexpr int magnitude_count(int bits) {
  return bits == 1 ? 1 : (1 << (bits - 1)) - 1;
}

// One 64-channel word group as magnitude planes; `valid` marks the channels
// that exist.
template <int kBits>
inline void split(const uint64_t* group, uint64_t valid, uint64_t* magnitude) {
  if constexpr (kBits == 1) {
    magnitude[0] = valid;
  } else {
    for (int k = 0; k < magnitude_count(kBits); ++k) {
      magnitude[k] = ~uint64_t{0};
      for (int p = 0; p < kBits - 1; ++p)
        magnitude[k] &= (k + 1) >> p & 1 ? group[p] : ~group[p];
    }
  }
}

inline uint64_t valid_bits(int channels, int group) {
  const int count = channels_in_block(channels, group);
  return count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

// Constants: one pixel filled with the padding code, then the weights
// [block][tap][group][64 outputs][plane].
size_t pad_pixel_words(const Layer& layer) {
  return pixel_elements(layer.input, layer.in_channels);
}

size_t planes_constants_bytes(const Layer& layer) {
  const int64_t taps = window_taps(layer);
  return 8 * (pad_pixel_words(layer) + block_count(layer.out_channels) * taps *
                                           words(layer.in_channels) * kBlock *
                                           layer.weight_bits);
}

void pack_planes(const Layer& layer, void* constants) {
  auto* all = static_cast<uint64_t*>(constants);
  std::fill_n(all, planes_constants_bytes(layer) / 8, 0);
  if (layer.pad_value != 0) {
    for (int c = 0; c < layer.in_channels; ++c)
      store_code(layer.input, all, c, layer.pad_value);
  }
  uint64_t* weights = all + pad_pixel_words(layer);
  const int64_t taps = window_taps(layer);
  const int groups = words(layer.in_channels);
  const int width = layer.weight_bits;
  for (int o = 0; o < layer.out_channels; ++o) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int g = 0; g < groups; ++g) {
        uint64_t planes[kMostPlanes];
        load_weight_planes(layer, o,
                           tap * layer.in_channels + int64_t{g} * kBlock,
                           channels_in_block(layer.in_channels, g), planes);
        std::copy_n(
            planes, width,
            weights + (((o / kBlock * taps + tap) * groups + g) * kBlock +
                       o % kBlock) *
                          width);
      }
    }
  }
}

template <int kInput, int kWeight>
struct Planes {
  using Acc = int32_t;
  static constexpr int kInputs = magnitude_count(kInput);
  static constexpr int kWeights = magnitude_count(kWeight);

  static void accumulate(const Layer& layer, const void* constants,
                         const void* input, void*, int n, int y, int x,
                         int block, int32_t* acc) {
    const auto* pad_pixel = static_cast<const uint64_t*>(constants);
    const uint64_t* weights = pad_pixel + pad_pixel_words(layer);
    const int64_t taps = window_taps(layer);
    const int groups = words(layer.in_channels);
    std::fill_n(acc, kBlock, 0);
    for_each_tap(layer, input, n, y, x, [&](int64_t tap, const char* pixel) {
      const uint64_t* in =
          pixel ? reinterpret_cast<const uint64_t*>(pixel) : pad_pixel;
      const uint64_t* w =
          weights + (block * taps + tap) * groups * kBlock * kWeight;
      for (int g = 0; g < groups; ++g, in += kInput) {
        const uint64_t valid = valid_bits(layer.in_channels, g);
        uint64_t in_magnitude[kInputs];
        split<kInput>(in, valid, in_magnitude);
        for (int o = 0; o < kBlock; ++o, w += kWeight) {
          uint64_t w_magnitude[kWeights];
          split<kWeight>(w, valid, w_magnitude);
          const uint64_t negative = in[kInput - 1] ^ w[kWeight - 1];
          for (int j = 0; j < kInputs; ++j) {
            for (int k = 0; k < kWeights; ++k) {
              const uint64_t both = in_magnitude[j] & w_magnitude[k];
              const int sum = ones(both) - 2 * ones(both & negative);
              acc[o] +=
                  static_cast<int32_t>(static_cast<uint32_t>(sum) << (j + k));
            }
          }
        }
      }
    });
  }
};

template <int kInput>
void run_weights(const Layer& layer, const void* constants, const void* input,
                 void* output, void* scratch, int64_t begin, int64_t end) {
  const auto run = layer.weight_bits == 1   ? run_conv<Planes<kInput, 1>>
                   : layer.weight_bits == 2 ? run_conv<Planes<kInput, 2>>
                   : layer.weight_bits == 3 ? run_conv<Planes<kInput, 3>>
                                            : run_conv<Planes<kInput, 4>>;
  run(layer, constants, input, output, scratch, begin, end);
}

void run_planes(const Layer& layer, const void* constants, const void* input,
                void* output, void* scratch, int64_t begin, int64_t end) {
  const auto run = layer.input == Type::kPacked1   ? run_weights<1>
                   : layer.input == Type::kPacked2 ? run_weights<2>
                   : layer.input == Type::kPacked3 ? run_weights<3>
                                                   : run_weights<4>;
  run(layer, constants, input, output, scratch, begin, end);
}

bool is_xnor(const Layer& layer) {
  return layer.groups == 1 &&
         std::min(bits(layer.input), layer.weight_bits) <= 2;
}

constexpr WidthSet kInputs =
    width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kPacked4);

constexpr Kernel planes_kernel(const char* name, Operator op) {
  return {name,          op,       kInputs,
          kWeightWidths, 0,        1,
          kBlock,        is_xnor,  planes_constants_bytes,
          pack_planes,   no_bytes, row_block_units,
          run_planes};
}

}  // namespace

extern constexpr Kernel kConvPlanesPortable =
    planes_kernel("conv_2d_planes_portable", Operator::kConv2D);
extern constexpr Kernel kDensePlanesPortable =
    planes_kernel("fully_connected_planes_portable", Operator::kFullyConnected);

}  // namespace aqe
