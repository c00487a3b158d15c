// Convolutions of 1-bit codes by 1-bit weights with the bit matrices of GFNI.
//
// Counting the bits of x ^ w takes a vector instruction for each word just to
// form x ^ w. Here one instruction, GF2P8AFFINEQB, gives 512 results that each
// sum up products of eight pairs of bits modulo 2: for eight positions
// (bytes) and 64 output channels (rows of eight matrices). That is enough to
// follow bit 1 of the number of differences so far, since with
// x_i = a_i ^ w_i, and e1 and e2 the elementary symmetric sums modulo 2,
//
//   bit 1 = e2(x) = e2(a) ^ e2(w) ^ e1(a) e1(w) ^ sum of a_i w_i
//
// and what four more channels change of it is a sum of eight products: four of
// new bits, two for the change of e2, two for e1 e1 before and after. Where bit
// 1 falls, after two channels or after four, the number has passed a multiple
// of four; each fall is added to counters whose bits are registers (carry-save
// adders, two VPTERNLOG each). Six instructions for four channels, where
// population counts need ten.
#include <immintrin.h>

#include <array>

#include "kernels/avx512.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#define AQE_AVX512_GFNI  \
  __attribute__((target( \
      "avx2,fma,popcnt,gfni,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi")))
#define AQE_INLINE AQE_AVX512_GFNI inline __attribute__((always_inline))

namespace aqe {
namespace {

constexpr int kGroup = 8;           // positions of a register
constexpr int kPairs = 2;           // of registers and matrices for a quad
constexpr int kQuads = 16;          // four channels each, of a word
constexpr int kVectorBytes = 64;
constexpr int kWordBytes = kQuads * kPairs * kGroup;  // of a group's features
constexpr int kBlockWordBytes = kQuads * kPairs * kVectorBytes;
constexpr int kTreeLevels = 4;      // counter bits within a word
constexpr int kMostLevels = 9;      // above, so that sums fit into 16 bits
constexpr int kMostWords = (1 << kMostLevels) - 1;

// The byte of the first `count` of four bits, with what e1 is before them.
constexpr unsigned feature(unsigned bits, unsigned before, int count,
                           bool is_weight) {
  unsigned after = before, change = 0, byte = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned bit = bits >> i & 1;
    change ^= bit & after;
    after ^= bit;
    byte |= bit << i;
  }
  const unsigned of_input = is_weight ? 1 : change;
  const unsigned of_weight = is_weight ? change : 1;
  return byte | of_input << 4 | of_weight << 5 | after << 6 | before << 7;
}

// Features of inputs, by the four bits and e1 in bit 4; bit 5 counts for
// nothing.
struct FeatureTable {
  alignas(64) std::array<uint8_t, 64> bytes{};
  explicit constexpr FeatureTable(int count) {
    for (unsigned i = 0; i < 64; ++i)
      bytes[i] = static_cast<uint8_t>(feature(i & 15, i >> 4 & 1, count, false));
  }
};
constexpr FeatureTable kTwo(2), kFour(4);

// Byte 8 s + i of a register from byte 8 i + s.
struct Transposition {
  alignas(64) std::array<uint8_t, 64> bytes{};
  constexpr Transposition() {
    for (int i = 0; i < 64; ++i)
      bytes[i] = static_cast<uint8_t>(i % 8 * 8 + i / 8);
  }
};
constexpr Transposition kTransposition;

// The channel of a block at byte `at` of a register of sums in bytes: what
// unpacking to 32 bits then puts in order.
constexpr int channel_at(int at) {
  return at / 4 % 4 * 16 + at / 16 * 4 + at % 4;
}

AQE_INLINE __m512i load(const void* from) { return _mm512_load_si512(from); }

template <class Table>
AQE_INLINE __m512i load_table(const Table& table) {
  return load(table.bytes.data());
}

// Words [0, 8) of eight patches: register j is word j of each.
AQE_INLINE void transpose_words(const char* patches, size_t stride,
                                __m512i* words) {
  __m512i pairs[8];
  for (int i = 0; i < 8; i += 2) {
    const __m512i a = load(patches + i * stride);
    const __m512i b = load(patches + (i + 1) * stride);
    pairs[i] = _mm512_unpacklo_epi64(a, b);
    pairs[i + 1] = _mm512_unpackhi_epi64(a, b);
  }
  for (int odd = 0; odd < 2; ++odd) {
    const __m512i* p = pairs + odd;
    const __m512i a = _mm512_shuffle_i64x2(p[0], p[2], 0x88);
    const __m512i b = _mm512_shuffle_i64x2(p[0], p[2], 0xdd);
    const __m512i c = _mm512_shuffle_i64x2(p[4], p[6], 0x88);
    const __m512i d = _mm512_shuffle_i64x2(p[4], p[6], 0xdd);
    words[odd] = _mm512_shuffle_i64x2(a, c, 0x88);
    words[2 + odd] = _mm512_shuffle_i64x2(b, d, 0x88);
    words[4 + odd] = _mm512_shuffle_i64x2(a, c, 0xdd);
    words[6 + odd] = _mm512_shuffle_i64x2(b, d, 0xdd);
  }
}

// Features of a word of eight patches, [odd quads][two, four][quad][patch].
// `before`: e1 so far, in all bits of a lane.
AQE_INLINE void make_features(__m512i word, __m512i* before, char* to) {
  // All bits of a byte: the parity of the byte, of its lower half.
  const __m512i of_byte = _mm512_set1_epi64(-1);
  const __m512i of_half = _mm512_set1_epi8(15);
  __m512i parity = _mm512_gf2p8affine_epi64_epi8(word, of_byte, 0);
  parity = _mm512_xor_si512(parity, _mm512_slli_epi64(parity, 8));
  parity = _mm512_xor_si512(parity, _mm512_slli_epi64(parity, 16));
  parity = _mm512_xor_si512(parity, _mm512_slli_epi64(parity, 32));
  const __m512i start =
      _mm512_xor_si512(_mm512_slli_epi64(parity, 8), *before);
  *before =
      _mm512_xor_si512(*before, _mm512_srai_epi64(parity, 63));
  constexpr int kSelect = 0xca;  // a ? b : c
  const __m512i even =
      _mm512_ternarylogic_epi64(of_half, word, start, kSelect);
  const __m512i odd = _mm512_ternarylogic_epi64(
      of_half, _mm512_srli_epi64(word, 4),
      _mm512_xor_si512(start, _mm512_gf2p8affine_epi64_epi8(word, of_half, 0)),
      kSelect);
  const __m512i order = load_table(kTransposition);
  const __m512i quads[] = {_mm512_permutexvar_epi8(order, even),
                           _mm512_permutexvar_epi8(order, odd)};
  for (const __m512i quad : quads) {
    _mm512_store_si512(to, _mm512_permutexvar_epi8(quad, load_table(kTwo)));
    _mm512_store_si512(to + 64, _mm512_permutexvar_epi8(quad, load_table(kFour)));
    to += 2 * kVectorBytes;
  }
}

// A bit of a counter: it takes two bits of its weight, and what it carries
// takes the place of the first.
AQE_INLINE void add(__m512i* bit, __m512i* first, __m512i second) {
  constexpr int kXor3 = 0x96, kCarry = 0xb2;  // of a full adder, after its sum
  *bit = _mm512_ternarylogic_epi64(*bit, *first, second, kXor3);
  *first = _mm512_ternarylogic_epi64(*first, *bit, second, kCarry);
}

// Of kGroups groups of eight positions: bit 1 of the number of differences, and
// counters of its falls within a word.
template <int kGroups>
struct Counter {
  __m512i bit1[kGroups];
  __m512i tree[kTreeLevels][kGroups];
};

// Adds 2^kLevel quads; `carry` is what falls out of their counters.
template <int kLevel, int kGroups>
AQE_INLINE void add_quads(const char* features, size_t stride,
                          const char* weights, int quad,
                          Counter<kGroups>* counter, __m512i* carry) {
  if constexpr (kLevel == 0) {
    constexpr int kFalls = 0xd8;  // of b, b ^ a, b ^ c
    const __m512i two = load(weights + quad * kPairs * kVectorBytes);
    const __m512i four =
        load(weights + (quad * kPairs + 1) * kVectorBytes);
    const char* own = features + quad % 2 * 2 * kVectorBytes + quad / 2 * 8;
    for (int g = 0; g < kGroups; ++g, own += stride) {
      const auto bytes = [&](int offset) AQE_AVX512_GFNI {
        int64_t word;
        std::memcpy(&word, own + offset, 8);
        return _mm512_set1_epi64(word);
      };
      const __m512i after_two =
          _mm512_gf2p8affine_epi64_epi8(bytes(0), two, 0);
      const __m512i after_four =
          _mm512_gf2p8affine_epi64_epi8(bytes(kVectorBytes), four, 0);
      carry[g] = _mm512_ternarylogic_epi64(after_two, counter->bit1[g],
                                           after_four, kFalls);
      counter->bit1[g] = _mm512_xor_si512(counter->bit1[g], after_four);
    }
  } else {
    __m512i second[kGroups];
    add_quads<kLevel - 1>(features, stride, weights, quad, counter, carry);
    add_quads<kLevel - 1>(features, stride, weights, quad + (1 << kLevel) / 2,
                          counter, second);
    for (int g = 0; g < kGroups; ++g)
      add(&counter->tree[kLevel - 1][g], &carry[g], second[g]);
  }
}

// From the bits of twice the sums, [bit][lane of 8 channels][position], to
// 16 bits each, and from `first` on downwards.
AQE_INLINE void subtract(const __m512i* bits, const int32_t* first,
                         int32_t* acc) {
  // Bytes of 8 sums each: [byte][position][lane] with a sum's bits together.
  const __m512i identity = _mm512_set1_epi64(
      static_cast<int64_t>(uint64_t{0x8040201008040201}));
  __m512i bytes[2][8];
  for (int k = 0; k < 2; ++k) {
    __m512i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
      // Matrices have their last row first.
      const __m512i* last = bits + 8 * k + 7 - i;
      a[i] = _mm512_unpacklo_epi8(last[0], last[-1]);
      a[i + 1] = _mm512_unpackhi_epi8(last[0], last[-1]);
    }
    for (int odd = 0; odd < 2; ++odd) {
      for (int i = 0; i < 8; i += 4) {
        b[odd * 4 + i / 2] =
            _mm512_unpacklo_epi16(a[i + odd], a[i + odd + 2]);
        b[odd * 4 + i / 2 + 1] =
            _mm512_unpackhi_epi16(a[i + odd], a[i + odd + 2]);
      }
    }
    // b[odd * 4 + half * 2 + high]: bits of `half`, positions of `high`.
    for (int high = 0; high < 2; ++high) {
      const auto sums = [&](int odd, bool upper) AQE_AVX512_GFNI {
        const __m512i x = b[odd * 4 + high], y = b[odd * 4 + 2 + high];
        return _mm512_gf2p8affine_epi64_epi8(
            identity,
            upper ? _mm512_unpackhi_epi32(x, y) : _mm512_unpacklo_epi32(x, y),
            0);
      };
      for (int upper = 0; upper < 2; ++upper) {
        const __m512i even = sums(0, upper), odd = sums(1, upper);
        bytes[k][high * 4 + upper * 2] = _mm512_unpacklo_epi64(even, odd);
        bytes[k][high * 4 + upper * 2 + 1] = _mm512_unpackhi_epi64(even, odd);
      }
    }
  }
  const __m512i zero = _mm512_setzero_si512();
  for (int i = 0; i < kGroup; ++i) {
    const __m512i low = _mm512_unpacklo_epi8(bytes[0][i], bytes[1][i]);
    const __m512i high = _mm512_unpackhi_epi8(bytes[0][i], bytes[1][i]);
    const __m512i sums[] = {
        _mm512_unpacklo_epi16(low, zero), _mm512_unpackhi_epi16(low, zero),
        _mm512_unpacklo_epi16(high, zero), _mm512_unpackhi_epi16(high, zero)};
    for (int v = 0; v < 4; ++v) {
      _mm512_store_si512(
          acc + i * kBlock + v * kLanes,
          _mm512_sub_epi32(load(first + v * kLanes), sums[v]));
    }
  }
}

// kGroups groups of eight positions times 64 output channels.
template <int kGroups>
AQE_AVX512_GFNI void multiply_groups(const char* features, size_t stride,
                                     const char* weights, int64_t words,
                                     const int32_t* first, int32_t* acc) {
  const __m512i zero = _mm512_setzero_si512();
  Counter<kGroups> counter;
  for (int g = 0; g < kGroups; ++g) {
    counter.bit1[g] = zero;
    for (int level = 0; level < kTreeLevels; ++level)
      counter.tree[level][g] = zero;
  }
  // Twice the sums, bit by bit. A word's carry waits at the level that the
  // number of words says for one of its weight to come.
  constexpr int kFirstLevel = kTreeLevels + 3;
  __m512i bits[kGroups][kFirstLevel + kMostLevels];
  __m512i waiting[kGroups][kMostLevels];
  for (int g = 0; g < kGroups; ++g)
    std::fill_n(bits[g], kFirstLevel + kMostLevels, zero);
  const char* own = features + kVectorBytes;
  const char* w = weights;
  for (int64_t word = 0; word < words; ++word) {
    __m512i carry[kGroups];
    add_quads<kTreeLevels>(own, stride, w, 0, &counter, carry);
    for (int g = 0; g < kGroups; ++g) {
      int level = 0;
      for (; word >> level & 1; ++level)
        add(&bits[g][kFirstLevel + level], &carry[g], waiting[g][level]);
      waiting[g][level] = carry[g];
    }
    own += kWordBytes;
    w += kBlockWordBytes;
  }
  for (int g = 0; g < kGroups; ++g) {
    __m512i carry = zero;
    for (int level = 0; words >> level != 0; ++level) {
      add(&bits[g][kFirstLevel + level], &carry,
          words >> level & 1 ? waiting[g][level] : zero);
    }
    int64_t parity;
    std::memcpy(&parity, features + g * stride, 8);
    bits[g][1] = _mm512_xor_si512(_mm512_set1_epi64(parity), load(w));
    bits[g][2] = counter.bit1[g];
    for (int level = 0; level < kTreeLevels; ++level)
      bits[g][3 + level] = counter.tree[level][g];
    subtract(bits[g], first, acc + g * kGroup * kBlock);
  }
}

// Constants: int32 `init` of each output channel (padded to blocks); a pixel of
// padding; TapSums, if padded with 0; weights [block][word][quad][two, four]
// [lane][channel of the lane, from the last] and the parity of all of a
// channel's bits, as what is counted.
struct Layout {
  int blocks;
  int64_t words;
  size_t pad, tap_sums, weights, block_bytes, end;

  explicit Layout(const Layer& layer)
      : blocks(block_count(layer.out_channels)),
        words(window_taps(layer) * aqe::words(layer.in_channels)),
        pad(sizeof(int32_t) * kBlock * blocks),
        tap_sums(pad +
                 round_up(pixel_bytes(layer.input, layer.in_channels), 64)),
        weights(tap_sums +
                (layer.pad_value == 0 ? TapSums::bytes(layer) : 0)),
        block_bytes(words * kBlockWordBytes + kVectorBytes),
        end(weights + blocks * block_bytes) {}
};

size_t constants_bytes(const Layer& layer) { return Layout(layer).end; }

void pack(const Layer& layer, void* constants) {
  const Layout at(layer);
  auto* bytes = static_cast<uint8_t*>(constants);
  std::fill_n(bytes, at.end, 0);
  auto* init = reinterpret_cast<int32_t*>(bytes);
  auto* tap_sums = reinterpret_cast<int32_t*>(bytes + at.tap_sums);
  if (layer.pad_value != 0) {
    for (int c = 0; c < layer.in_channels; ++c)
      store_code(layer.input, bytes + at.pad, c, layer.pad_value);
  }
  const int groups = words(layer.in_channels);
  for (int position = 0; position < at.blocks * kBlock; ++position) {
    const int lane = position % kBlock / 8, row = 7 - position % 8;
    const int o = position / kBlock * kBlock + channel_at(position % kBlock);
    uint8_t* own =
        bytes + at.weights + position / kBlock * at.block_bytes;
    unsigned parity = 0;
    for (int64_t word = 0; word < at.words; ++word) {
      const int64_t tap = word / groups;
      const int first = static_cast<int>(word % groups) * 64;
      const int count =
          o < layer.out_channels ? std::min(64, layer.in_channels - first) : 0;
      uint64_t negative = 0;
      for (int c = 0; c < count; ++c) {
        const int code = weight_code(layer, o,
                                     tap * layer.in_channels + first + c);
        negative |= uint64_t{code < 0} << c;
        if (layer.pad_value == 0)
          TapSums::at_tap(layer, tap, tap_sums)[o] += code;
      }
      for (int quad = 0; quad < kQuads; ++quad) {
        const unsigned quad_bits = negative >> (4 * quad) & 15;
        for (int half = 1; half <= 2; ++half) {
          own[lane * 8 + row] = static_cast<uint8_t>(
              feature(quad_bits, parity, 2 * half, true));
          own += kVectorBytes;
        }
        parity ^= static_cast<unsigned>(__builtin_parity(quad_bits));
      }
    }
    for (int i = 0; i < kGroup; ++i)
      own[lane * 8 + i] |= static_cast<uint8_t>(parity << (position % 8));
    if (o < layer.out_channels)
      init[o] = static_cast<int32_t>(layer.weights_per_output());
  }
  if (layer.pad_value == 0) TapSums::integrate(layer, tap_sums);
}

struct Method : VectorOutput<Int32Lanes> {
  static constexpr int kPositions = kMaxPositions;

  static size_t pixel_bytes(const Layer& layer) {
    return aqe::pixel_bytes(layer.input, layer.in_channels);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up(window_taps(layer) * pixel_bytes(layer), 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return Layout(layer).block_bytes;
  }
  static TapSums tap_sums(const Layer& layer, const void* constants) {
    if (layer.pad_value != 0) return {};
    return TapSums(layer, reinterpret_cast<const int32_t*>(
                              static_cast<const char*>(constants) +
                              Layout(layer).tap_sums));
  }

  AQE_TARGET static void load(const Layer&, const char* pixels, int,
                              int64_t bytes, char* to) {
    Set::copy_words(pixels, bytes / 4, to);
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) + Layout(layer).pad;
  }
  AQE_TARGET static void finish(const Layer&, char*) {}

  // Of each group: e1 of each patch as a byte, features of each word.
  static size_t group_bytes(const Layer& layer) {
    return kVectorBytes + Layout(layer).words * kWordBytes;
  }
  static size_t tile_bytes(const Layer& layer) {
    return kMaxPositions / kGroup * group_bytes(layer);
  }
  AQE_AVX512_GFNI static void finish_tile(const Layer& layer,
                                          const char* patches, int rows,
                                          char* features) {
    const size_t stride = patch_bytes(layer);
    const int64_t words = Layout(layer).words;
    for (int r = 0; r < rows; r += kGroup) {
      __m512i parity = _mm512_setzero_si512();
      char* to = features + kVectorBytes;
      for (int64_t first = 0; first < words; first += 8) {
        __m512i word[8];
        transpose_words(patches + r * stride + first * 8, stride, word);
        for (int j = 0; j < 8 && first + j < words; ++j, to += kWordBytes)
          make_features(word[j], &parity, to);
      }
      _mm_storel_epi64(
          reinterpret_cast<__m128i*>(features),
          _mm_movm_epi8(_mm512_test_epi64_mask(parity, parity)));
      features += group_bytes(layer);
    }
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, Acc* acc) {
    const Layout at(layer);
    const auto* bytes = static_cast<const char*>(constants);
    const char* features = patches + kMaxPositions * patch_bytes(layer);
    const size_t stride = group_bytes(layer);
    const char* weights = bytes + at.weights + block * at.block_bytes;
    const auto* first =
        reinterpret_cast<const int32_t*>(bytes) + block * kBlock;
    for (int r = 0; r < rows; r += 2 * kGroup) {
      const auto run = rows - r > kGroup ? multiply_groups<2>
                                         : multiply_groups<1>;
      run(features + r / kGroup * stride, stride, weights, at.words, first,
          acc + r * kBlock);
    }
  }
};

struct Choose {
  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(Method());
  }
};
using Tiled = TiledKernel<Choose>;

// A single position would leave seven eighths of the registers empty.
bool supports(const Layer& layer) {
  return fits_tiles(layer) && Layout(layer).words <= kMostWords &&
         int64_t{layer.batch} * layer.conv_height * layer.conv_width >=
             kGroup / 2;
}

}  // namespace

extern const Kernel kConvXnorAvx512 = {"conv_2d_xnor_avx512",
                                       Operator::kConv2D,
                                       width_set(Type::kPacked1),
                                       width_set(1),
                                       kAvx512 | kAvx512Gfni,
                                       kGroup,
                                       kBlock,
                                       supports,
                                       constants_bytes,
                                       pack,
                                       Tiled::scratch_bytes,
                                       Tiled::units,
                                       Tiled::run};

}  // namespace aqe
