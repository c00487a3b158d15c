// SHIFT with AVX2, on codes: what a value gives with each weight code, the
// value shifted and negated, stands in a table, and a weight picks from it, 32
// output channels at a time. No multiply instruction.
//
// Where two or more products fit into a byte, a table holds them raised by the
// greatest one, so that they are summed without sign; else it holds their low
// and high bytes.
#include "kernels/x86/avx2.h"

#include <immintrin.h>

#include <algorithm>

#include "kernels/kernels.h"
#include "kernels/loops/tiles.h"
#include "kernels/loops/weights.h"
#include "kernels/x86/byte_patches.h"
#include "kernels/x86/output.h"

namespace aqe {
namespace {

constexpr int kRows = 4;           // positions at a time
constexpr int kChannels = kBytes;  // output channels at a time
constexpr int kSplits = kBlock / kChannels;
constexpr int kVectors = kChannels / kLanes;
constexpr int kTableBytes = 32;  // low bytes, high bytes

int greatest_product(const Layer& layer) {
  return max_code(bits(layer.input)) * max_code(layer.weight_bits);
}

// Two products are added at a time.
bool is_narrow(const Layer& layer) {
  return 4 * greatest_product(layer) <= 255;
}

// Pairs of products that a byte or 16 bits hold.
int64_t most_pairs(const Layer& layer) {
  const int product = greatest_product(layer);
  return is_narrow(layer) ? 255 / (4 * product) : 32767 / (2 * product);
}

// Sums of bytes that 16 bits hold.
constexpr int64_t kMostSums = 65535 / 255;

int table_count(const Layer& layer) {
  return layer.input == Type::kInt8 ? 256 : 2 * raise_of(layer.input) + 1;
}

// Which of the 32 bytes of a step belongs to an output channel: sums are
// widened by taking even and odd lanes apart, and in the wide form bytes are
// first interleaved with their high bytes.
int byte_of(int channel, bool is_narrow) {
  const int lane = channel % kLanes, vector = channel / kLanes;
  if (is_narrow) return lane * kVectors + vector;
  return lane / 4 * 16 + vector / 2 * 8 + lane % 4 * 2 + vector % 2;
}

// Constants: what the sums start with, int32 of each output channel; a pixel of
// padding; the tables, one for each byte of a patch; weights
// [block][split][pair of inputs][32], the first input in the low half of a
// byte.
struct Layout {
  int64_t pairs;
  size_t pad, tables, weights, end;

  explicit Layout(const Layer& layer) {
    const size_t channels = size_t{kBlock} * block_count(layer.out_channels);
    pairs = window_taps(layer) * (patch_pixel_bytes(layer) / 2);
    pad = channels * sizeof(int32_t);
    tables = pad + round_up(patch_pixel_bytes(layer), 64);
    weights = tables + round_up(size_t{kTableBytes} * table_count(layer), 64);
    end = weights + pairs * channels;
  }
};

size_t constants_bytes(const Layer& layer) { return Layout(layer).end; }

int shifted(int value, int code) {
  int product = 0;
  for (int magnitude = std::abs(code); magnitude != 0; magnitude >>= 1)
    product = product == 0 ? value : product + product;
  return code < 0 ? -product : product;
}

void pack(const Layer& layer, void* constants) {
  const Layout at(layer);
  const bool narrow = is_narrow(layer);
  auto* bytes = static_cast<uint8_t*>(constants);
  std::fill_n(bytes, at.end, uint8_t{0});
  fill_pad_pixel(layer, reinterpret_cast<char*>(bytes + at.pad));
  for (int i = 0; i < table_count(layer); ++i) {
    uint8_t* table = bytes + at.tables + i * kTableBytes;
    for (unsigned planes = 0; planes < 1u << layer.weight_bits; ++planes) {
      const int product = shifted(i - raise_of(layer.input),
                                  code_from_planes(layer.weight_bits, planes)) +
                          (narrow ? greatest_product(layer) : 0);
      table[planes] = static_cast<uint8_t>(product);
      table[16 + planes] = static_cast<uint8_t>(product >> 8);
    }
  }
  auto* init = reinterpret_cast<int32_t*>(bytes);
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    if (narrow)
      init[o] = static_cast<int32_t>(-2 * at.pairs * greatest_product(layer));
    uint8_t* own = bytes + at.weights + o / kChannels * at.pairs * kChannels +
                   byte_of(o % kChannels, narrow);
    const int8_t* planes = rows.planes(o);
    for (int64_t tap = 0; tap < window_taps(layer); ++tap) {
      for (int c = 0; c < layer.in_channels; ++c) {
        own[c / 2 * kChannels] |=
            static_cast<uint8_t>(*planes++ << (c % 2 * 4));
      }
      own += patch_pixel_bytes(layer) / 2 * kChannels;
    }
  }
}

AQE_TARGET inline __m256i load_table(const uint8_t* tables, uint8_t byte) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(
      reinterpret_cast<const __m128i*>(tables + size_t{byte} * kTableBytes)));
}

AQE_TARGET inline void add_to(int32_t* acc, __m256i sums) {
  Int32Lanes::store(acc, _mm256_add_epi32(Int32Lanes::load(acc), sums));
}

// Sums of 16 bits without sign to the vectors `acc`, `acc` + 16.
AQE_TARGET inline void widen_unsigned(__m256i sums, int32_t* acc) {
  add_to(acc, _mm256_and_si256(sums, _mm256_set1_epi32(0xffff)));
  add_to(acc + 2 * kLanes, _mm256_srli_epi32(sums, 16));
}

// With sign, to `acc`, `acc` + 8.
AQE_TARGET inline void widen_signed(__m256i sums, int32_t* acc) {
  add_to(acc, _mm256_srai_epi32(_mm256_slli_epi32(sums, 16), 16));
  add_to(acc + kLanes, _mm256_srai_epi32(sums, 16));
}

// Four rows of patches times 32 output channels; acc holds what they start
// with. These two are functions of their own, so that a test can show that they
// do not multiply.
AQE_TARGET __attribute__((noinline)) void add_narrow(
    const uint8_t* patch, size_t stride, const uint8_t* weights,
    const uint8_t* tables, int64_t pairs, int64_t most_pairs, int32_t* acc) {
  const __m256i low = _mm256_set1_epi8(15), even = _mm256_set1_epi16(255);
  while (pairs > 0) {
    __m256i sums[kRows][2];
    for (auto& row : sums) row[0] = row[1] = _mm256_setzero_si256();
    for (int64_t i = 0; i < kMostSums && pairs > 0; ++i) {
      const int64_t some = std::min(pairs, most_pairs);
      __m256i bytes[kRows];
      for (__m256i& row : bytes) row = _mm256_setzero_si256();
      for (int64_t pair = 0; pair < some; ++pair) {
        const __m256i w =
            _mm256_load_si256(reinterpret_cast<const __m256i*>(weights));
        const __m256i first = _mm256_and_si256(w, low);
        const __m256i second = _mm256_and_si256(_mm256_srli_epi16(w, 4), low);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const uint8_t* at = patch + r * stride;
          bytes[r] = _mm256_add_epi8(
              bytes[r], _mm256_shuffle_epi8(load_table(tables, at[0]), first));
          bytes[r] = _mm256_add_epi8(
              bytes[r], _mm256_shuffle_epi8(load_table(tables, at[1]), second));
        }
        patch += 2;
        weights += kBytes;
      }
      for (int r = 0; r < kRows; ++r) {
        sums[r][0] =
            _mm256_add_epi16(sums[r][0], _mm256_and_si256(bytes[r], even));
        sums[r][1] =
            _mm256_add_epi16(sums[r][1], _mm256_srli_epi16(bytes[r], 8));
      }
      pairs -= some;
    }
    for (int r = 0; r < kRows; ++r) {
      widen_unsigned(sums[r][0], acc + r * kBlock);
      widen_unsigned(sums[r][1], acc + r * kBlock + kLanes);
    }
  }
}

AQE_TARGET __attribute__((noinline)) void add_wide(
    const uint8_t* patch, size_t stride, const uint8_t* weights,
    const uint8_t* tables, int64_t pairs, int64_t most_pairs, int32_t* acc) {
  const __m256i low = _mm256_set1_epi8(15);
  while (pairs > 0) {
    const int64_t some = std::min(pairs, most_pairs);
    __m256i sums[kRows][2];
    for (auto& row : sums) row[0] = row[1] = _mm256_setzero_si256();
    for (int64_t pair = 0; pair < some; ++pair) {
      const __m256i w =
          _mm256_load_si256(reinterpret_cast<const __m256i*>(weights));
      const __m256i picks[2] = {_mm256_and_si256(w, low),
                                _mm256_and_si256(_mm256_srli_epi16(w, 4), low)};
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          const uint8_t byte = patch[r * stride + i];
          const __m256i lows =
              _mm256_shuffle_epi8(load_table(tables, byte), picks[i]);
          const __m256i highs =
              _mm256_shuffle_epi8(load_table(tables + 16, byte), picks[i]);
          sums[r][0] =
              _mm256_add_epi16(sums[r][0], _mm256_unpacklo_epi8(lows, highs));
          sums[r][1] =
              _mm256_add_epi16(sums[r][1], _mm256_unpackhi_epi8(lows, highs));
        }
      }
      patch += 2;
      weights += kBytes;
    }
    for (int r = 0; r < kRows; ++r) {
      widen_signed(sums[r][0], acc + r * kBlock);
      widen_signed(sums[r][1], acc + r * kBlock + 2 * kLanes);
    }
    pairs -= some;
  }
}

struct Shift : VectorOutput<Int32Lanes> {
  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up(window_taps(layer) * pixel_bytes(layer), 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return Layout(layer).pairs * kBlock;
  }

  AQE_TARGET static void load(const Layer& layer, const char* pixels, int count,
                              int64_t bytes, char* to) {
    load_pixels<Avx2>(layer, pixels, count, bytes, to);
  }
  static bool decodes(const Layer& layer) {
    return layer.input != Type::kFloat32;
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) + Layout(layer).pad;
  }
  static void finish(const Layer&, char*) {}

  AQE_TARGET static void multiply(const Layer& layer, const void* constants,
                                  const char* patches, int rows, int block,
                                  Acc* acc) {
    const Layout at(layer);
    const auto* bytes = static_cast<const uint8_t*>(constants);
    const auto* patch = reinterpret_cast<const uint8_t*>(patches);
    const auto* init = static_cast<const int32_t*>(constants) + block * kBlock;
    const size_t stride = patch_bytes(layer);
    const auto add = is_narrow(layer) ? add_narrow : add_wide;
    for (int row = 0; row < rows; ++row)
      std::copy_n(init, kBlock, acc + row * kBlock);
    for (int split = 0; split < kSplits; ++split) {
      const uint8_t* weights =
          bytes + at.weights + (block * kSplits + split) * at.pairs * kChannels;
      for (int row = 0; row < rows; row += kRows) {
        add(patch + row * stride, stride, weights, bytes + at.tables, at.pairs,
            most_pairs(layer), acc + row * kBlock + split * kChannels);
      }
    }
  }
};

struct Methods {
  static constexpr int kRows = aqe::kRows, kChannels = aqe::kChannels;
  static constexpr auto constants_bytes = aqe::constants_bytes;
  static constexpr auto pack = aqe::pack;

  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(Shift());
  }
};

constexpr Kernel shift_kernel(const char* name, Operator op) {
  return TiledKernel<Methods>::kernel(name, op, kCodeWidths, width_set(2, 3, 4),
                                      kAvx2);
}

}  // namespace

extern constexpr Kernel kConvShiftAvx2 =
    shift_kernel("conv_2d_shift_avx2", Operator::kConv2D);
extern constexpr Kernel kDenseShiftAvx2 =
    shift_kernel("fully_connected_shift_avx2", Operator::kFullyConnected);

}  // namespace aqe
