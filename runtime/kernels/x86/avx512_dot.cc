// SHIFT and mixed widths with the dot product of AVX-512 VNNI, and the layer on
// the image in float.
//
// Codes are decoded to bytes while the patches are gathered. Four neighbouring
// bytes of a patch are broadcast against 16 output channels. In float one value
// is broadcast, and the order of the sum is that of the format.
#include "kernels/x86/avx512.h"

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/loops/decoded_rows.h"
#include "kernels/x86/dot_conv.h"

#define AQE_AVX512_VNNI \
  __attribute__((       \
      target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace aqe {
namespace {

constexpr int kMostRows = 14;    // positions at a time, an even number
constexpr int kMostVectors = 2;  // registers of 16 output channels at a time
constexpr int kChannels = kLanes * kMostVectors;
constexpr int kMostConvRows = 4;

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

struct FloatDot {
  using Lanes = FloatLanes;
  AQE_AVX512_VNNI static inline __m512 broadcast(const void* patch) {
    return _mm512_set1_ps(*static_cast<const float*>(patch));
  }
  AQE_AVX512_VNNI static inline __m512 load(const void* from) {
    return _mm512_load_ps(from);
  }
  AQE_AVX512_VNNI static inline __m512 add(__m512 acc, __m512 in, __m512 w) {
    return _mm512_fmadd_ps(in, w, acc);
  }
};

// kRowCount rows times 16 or 32 output channels. A row comes in parts of so
// many steps; row r of a part is r strides behind the first.
template <class Dot, int kVectors, int kRowCount>
AQE_AVX512_VNNI void multiply_rows(const char* const* parts, int part_count,
                                   size_t stride, const char* weights,
                                   int64_t steps, const void* init,
                                   typename Dot::Lanes::Acc* acc) {
  typename Dot::Lanes::Vector sums[kRowCount][kVectors];
#pragma GCC unroll 14
  for (int r = 0; r < kRowCount; ++r) {
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = Dot::load(static_cast<const char*>(init) + v * 64);
  }
  for (int part = 0; part < part_count; ++part) {
    const char* patch = parts[part];
    for (int64_t step = 0; step < steps; ++step) {
      typename Dot::Lanes::Vector w[kVectors];
      for (int v = 0; v < kVectors; ++v) w[v] = Dot::load(weights + v * 64);
#pragma GCC unroll 14
      for (int r = 0; r < kRowCount; ++r) {
        const auto in = Dot::broadcast(patch + r * stride + step * 4);
        for (int v = 0; v < kVectors; ++v)
          sums[r][v] = Dot::add(sums[r][v], in, w[v]);
      }
      weights += kMostVectors * 64;
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < kRowCount; ++r) {
    for (int v = 0; v < kVectors; ++v)
      Dot::Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
  }
}

// The same for any number of rows, in runs of about the same length: short ones
// wait for their sums. Reads a row more than there are if their number is odd.
template <class Dot, int kVectors>
void multiply_all(const char* const* parts, int part_count, size_t stride,
                  int rows, const char* weights, int64_t steps,
                  const void* init, typename Dot::Lanes::Acc* acc) {
  static constexpr decltype(&multiply_rows<Dot, kVectors, 2>) kRuns[] = {
      multiply_rows<Dot, kVectors, 2>,  multiply_rows<Dot, kVectors, 4>,
      multiply_rows<Dot, kVectors, 6>,  multiply_rows<Dot, kVectors, 8>,
      multiply_rows<Dot, kVectors, 10>, multiply_rows<Dot, kVectors, 12>,
      multiply_rows<Dot, kVectors, 14>,
  };
  const char* own[kMostWindowRows];
  std::copy_n(parts, part_count, own);
  for (int r = 0, count; r < rows; r += count) {
    const int runs = (rows - r + kMostRows - 1) / kMostRows;
    count = static_cast<int>(round_up((rows - r + runs - 1) / runs, 2));
    kRuns[count / 2 - 1](own, part_count, stride, weights, steps, init,
                         acc + r * kBlock);
    for (int part = 0; part < part_count; ++part) own[part] += count * stride;
  }
}

template <class Dot>
auto multiply_channels(int channels) {
  return channels > kLanes ? multiply_all<Dot, kMostVectors>
                           : multiply_all<Dot, 1>;
}

template <class Dot>
struct Patches : Dot {
  static constexpr int kChannels = aqe::kChannels;

  static void multiply(const Layer&, const char* patches, size_t stride,
                       int rows, int channels, const char* weights,
                       int64_t steps, const typename Dot::Lanes::Acc* init,
                       typename Dot::Lanes::Acc* acc) {
    multiply_channels<Dot>(channels)(&patches, 1, stride, rows, weights, steps,
                                     init, acc);
  }
};

struct Choose {
  template <class Call>
  static auto with_method(const Layer& layer, Call call) {
    if (!layer.float_accumulator()) return call(DotConv<Patches<ByteDot>>());
    return call(DotConv<Patches<FloatDot>>());
  }
};
using Tiled = TiledKernel<Choose>;

constexpr Kernel dot_kernel(const char* name, Operator op, WidthSet inputs,
                            uint32_t features) {
  return {name,
          op,
          inputs,
          width_set(1, 2, 3, 4),
          features,
          kMostRows,
          kChannels,
          fits_tiles,
          dot_constants_bytes,
          pack_dot<kChannels>,
          Tiled::scratch_bytes,
          Tiled::units,
          Tiled::run};
}

// Without patches: rows of the input are decoded once, and where taps are side
// by side, so are the bytes of a window's row. Those of the next position are a
// stride behind.

// Rows of the convolution that a row of outputs is the maximum of, at most.
int most_conv_rows(const Layer& layer) {
  return layer.has_pool ? layer.pool.height : 1;
}

DecodedRows decoded_rows(const Layer& layer) {
  return DecodedRows(layer, most_conv_rows(layer), patch_pixel_bytes(layer));
}

// Sums of a row of the convolution, one position more if their number is odd.
int64_t acc_of_row(const Layer& layer) {
  return kBlock * static_cast<int64_t>(round_up(layer.conv_width, 2));
}

size_t acc_bytes(const Layer& layer) {
  return sizeof(int32_t) * most_conv_rows(layer) * acc_of_row(layer);
}

bool supports_rows(const Layer& layer) {
  return layer.groups == 1 && layer.window.dilation_x == 1 &&
         layer.window.height <= kMostWindowRows &&
         most_conv_rows(layer) <= kMostConvRows;
}

bool is_worthwhile_rows(const Layer& layer) {
  if (layer.input <= Type::kPacked2 && layer.weight_bits <= 2) {
    // Words of planes take as long if they are not full.
    constexpr int kMostChannels[] = {16, 28, 48};
    return layer.in_channels <=
           kMostChannels[bits(layer.input) + layer.weight_bits - 2];
  }
  // Weights pass by once for each row of outputs.
  constexpr int kLongRow = 12;
  constexpr size_t kNear = 3 << 19;
  return layer.conv_width >= kLongRow || dot_constants_bytes(layer) <= kNear;
}

size_t rows_scratch_bytes(const Layer& layer) {
  return acc_bytes(layer) + decoded_rows(layer).bytes();
}

int64_t row_units(const Layer& layer) {
  return int64_t{layer.batch} * layer.out_height;
}

// 64 sums at each position of a row of outputs, to codes or floats.
AQE_TARGET void store_row(const Layer& layer, const int32_t* acc, int conv_rows,
                          int block, char* pixel) {
  using Output = VectorOutput<Int32Lanes>;
  const int64_t step = pixel_bytes(layer.output, layer.out_channels);
  for (int x = 0; x < layer.out_width; ++x, pixel += step) {
    if (!layer.has_pool) {
      Output::store(layer, acc + int64_t{x} * kBlock, block, pixel);
      continue;
    }
    const int left = x * layer.pool.stride_x - layer.pool.pad_left;
    const int begin = std::max(left, 0);
    const int end = std::min(left + layer.pool.width, layer.conv_width);
    alignas(64) int32_t best[kBlock];
    Output::max(acc + int64_t{begin} * kBlock, conv_rows,
                static_cast<int>(acc_of_row(layer)), end - begin, best);
    Output::store(layer, best, block, pixel);
  }
}

void run_rows(const Layer& layer, const void* constants, const void* input,
              void* output, void* scratch, int64_t begin, int64_t end) {
  const Window& window = layer.window;
  const DotLayout at(layer);
  const auto* bytes = static_cast<const char*>(constants);
  auto* acc = static_cast<int32_t*>(scratch);
  DecodedRows decoded = decoded_rows(layer);
  decoded.start(input, static_cast<char*>(scratch) + acc_bytes(layer));
  const size_t step = patch_pixel_bytes(layer);
  const int64_t part_steps = window.width * static_cast<int64_t>(step) / 4;
  const auto decode = [&](const char* pixel, char* to) AQE_TARGET {
    if (pixel != nullptr) {
      Avx512::decode_pixel(layer.input, pixel, layer.in_channels, to);
    } else {
      Avx512::copy_words(bytes + at.pad, static_cast<int64_t>(step / 4), to);
    }
  };
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t n = unit / layer.out_height;
    const int y = static_cast<int>(unit % layer.out_height);
    const int top =
        layer.has_pool ? y * layer.pool.stride_y - layer.pool.pad_top : y;
    const int first = std::max(top, 0);
    const int conv_rows =
        std::min(top + most_conv_rows(layer), layer.conv_height) - first;
    const char* parts[kMostConvRows][kMostWindowRows];
    for (int conv_row = 0; conv_row < conv_rows; ++conv_row) {
      for (int ky = 0; ky < window.height; ++ky) {
        parts[conv_row][ky] =
            decoded.row(n, n,
                        int64_t{first + conv_row} * window.stride_y +
                            int64_t{ky} * window.dilation_y,
                        decode);
      }
    }
    for (int block = 0; block < block_count(layer.out_channels); ++block) {
      const int channels = channels_in_block(layer.out_channels, block);
      for (int c = 0; c < channels; c += kChannels) {
        const int64_t channel = int64_t{block} * kBlock + c;
        for (int conv_row = 0; conv_row < conv_rows; ++conv_row) {
          multiply_channels<ByteDot>(channels - c)(
              parts[conv_row], window.height, window.stride_x * step,
              layer.conv_width, bytes + at.weights + channel * at.steps * 4,
              part_steps, bytes + at.init + channel * 4,
              acc + conv_row * acc_of_row(layer) + c);
        }
      }
      store_row(layer, acc, conv_rows, block,
                pixel_at(layer.output, layer.out_channels, output,
                         unit * layer.out_width));
    }
  }
}

constexpr WidthSet kCodes =
    width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kPacked4,
              Type::kInt8);

}  // namespace

extern const Kernel kConvDotAvx512 = dot_kernel(
    "conv_2d_dot_avx512", Operator::kConv2D, kCodes, kAvx512 | kAvx512Vnni);
extern const Kernel kConvRowsAvx512 = {"conv_2d_rows_avx512",
                                       Operator::kConv2D,
                                       kCodes,
                                       width_set(1, 2, 3, 4),
                                       kAvx512 | kAvx512Vnni,
                                       kMostRows,
                                       kChannels,
                                       supports_rows,
                                       dot_constants_bytes,
                                       pack_dot<kChannels>,
                                       rows_scratch_bytes,
                                       row_units,
                                       run_rows,
                                       is_worthwhile_rows};
extern const Kernel kConvImageAvx512 =
    dot_kernel("conv_2d_image_avx512", Operator::kConv2D,
               width_set(Type::kFloat32, Type::kUInt8), kAvx512);

}  // namespace aqe
