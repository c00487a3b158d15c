// Convolutions of 1-bit codes by 1-bit weights with the bit matrices of GFNI.
//
// Counting the bits of x = a ^ w takes a vector instruction for each word just
// to form x. Here one instruction, GF2P8AFFINEQB, gives 512 sums of eight
// products modulo 2: for eight positions (bytes) and 64 output channels (rows
// of eight matrices). That is enough to follow bit 1 of the number of
// differences so far, since with the elementary symmetric sums e1 and e2,
// modulo 2,
//
//   bit 1 = e2(x) = e2(a) ^ e2(w) ^ e1(a) e1(w) ^ sum of a_i w_i
//
// and what four more channels, a quad, change of it is a sum of eight products:
// four of new bits, two for the change of e2, two for e1 e1 before and after.
// Where bit 1 falls, after two channels or after four, the number has passed a
// multiple of four; each fall is added to counters whose bits are registers
// (full adders, two VPTERNLOG each). That makes six instructions for four
// channels, where population counts need ten.
//
// A tap of the window starts from 0, so that the factors that come from an
// input pixel, its features, are the same at all taps. They are made once, with
// pixels side by side: the eight positions of a register then are eight
// neighbouring bytes, wherever the tap is. The features of a pixel outside the
// input are 0 and add no difference; each product with one is half a
// difference, which the counters start with.
//
// Codes in planes come from these counters bit by bit: a borrow ripples through
// a sum and its threshold, one VPTERNLOG a bit for 512 sums.
#include "kernels/x86/gfni_vectors.h"

#include "kernels/kernels.h"
#include "kernels/loops/tiles.h"
#include "kernels/loops/weights.h"
#include "kernels/x86/gfni_features.h"
#include "kernels/x86/gfni_output.h"
#include "kernels/x86/gfni_sums.h"
#include "kernels/x86/gfni_tiling.h"

namespace aqe {
namespace gfni {
namespace {

AQE_INLINE __m512i broadcast(const char* eight_bytes) {
  int64_t value;
  std::memcpy(&value, eight_bytes, 8);
  return _mm512_set1_epi64(value);
}

// Of kGroups groups of eight positions: bit 1 of the number of differences at
// a tap, and the lowest bits of the number of its falls.
template <int kGroups>
struct Counter {
  __m512i bit1[kGroups];
  __m512i falls[kLevels][kGroups];
};

// Adds 2^kLevel quads; `carry` is what falls out of their counters.
template <int kLevel, int kGroups>
AQE_INLINE void add_quads(const char* const* features, const char* weights,
                          int quad, Counter<kGroups>* counter, __m512i* carry) {
  if constexpr (kLevel == 0) {
    constexpr int kFalls = 0xd8;  // of b, b ^ a, b ^ c
    const __m512i two = load(weights + quad * 2 * kVectorBytes);
    const __m512i four = load(weights + (quad * 2 + 1) * kVectorBytes);
    const int row = quad % 2 * 2 * kGroup + quad / 2;
    for (int g = 0; g < kGroups; ++g) {
      const char* own = features[g] + row * kColumns;
      const __m512i after_two =
          _mm512_gf2p8affine_epi64_epi8(broadcast(own), two, 0);
      const __m512i after_four = _mm512_gf2p8affine_epi64_epi8(
          broadcast(own + kGroup * kColumns), four, 0);
      carry[g] = _mm512_ternarylogic_epi64(after_two, counter->bit1[g],
                                           after_four, kFalls);
      counter->bit1[g] = _mm512_xor_si512(counter->bit1[g], after_four);
    }
  } else {
    __m512i second[kGroups];
    add_quads<kLevel - 1>(features, weights, quad, counter, carry);
    add_quads<kLevel - 1>(features, weights, quad + (1 << kLevel) / 2, counter,
                          second);
    for (int g = 0; g < kGroups; ++g)
      add(&counter->falls[kLevel - 1][g], &carry[g], second[g]);
  }
}

// Constants: a pixel of padding; weights [block][tap], of a tap [word][quad]
// [two, four][lane][channel of the lane, from the last] and bit 0 likewise;
// limits [block][threshold][bit][lane][position] where bits are compared.
struct Layout {
  int blocks, words, taps, levels, bits;
  size_t weights, tap_bytes, block_bytes, limits, limits_bytes, end;

  explicit Layout(const Layer& layer)
      : blocks(block_count(layer.out_channels)),
        words(aqe::words(layer.in_channels)),
        taps(static_cast<int>(window_taps(layer))),
        levels(compares_bits(layer) ? threshold_count(layer.output) : 0),
        bits(compares_bits(layer) ? sum_bits(layer) : kSumBits),
        weights(round_up(pixel_bytes(layer.input, layer.in_channels), 64)),
        tap_bytes(words * kWordBytes + kVectorBytes),
        block_bytes(taps * tap_bytes),
        limits(weights + blocks * block_bytes),
        limits_bytes(size_t{1} * levels * bits * kVectorBytes),
        end(limits + blocks * limits_bytes) {}
};

// Where a group of eight positions finds its features at each tap, or null
// where the row of the tap lies outside.
struct Group {
  const char* taps[kMostTaps];
  // Bits of the number of products with padding, a byte for each position.
  int64_t padding[kSumBits];
  void* result;  // uint64_t [threshold][position], or the sums
};

// kGroups groups times block `block` of output channels. Where a pixel has but
// one word, the quads of its channels are in the first 2^kQuadLevels.
template <int kGroups, int kQuadLevels>
AQE_TARGET void multiply_groups(const Layer& layer, const Layout& at,
                                const char* constants, int block,
                                const Group* groups, const char* outside) {
  const char* weights = constants + at.weights + block * at.block_bytes;
  const __m512i zero = _mm512_setzero_si512();
  Counter<kGroups> counter;
  for (int level = 0; level < kQuadLevels; ++level)
    std::fill_n(counter.falls[level], kGroups, zero);
  // Of the differences that no fall has counted: bit 0, bit 1, carries.
  __m512i bit0[kGroups], bit1[kGroups];
  Tally<kGroups> falls, rest;
  for (int g = 0; g < kGroups; ++g) {
    const int64_t* padding = groups[g].padding;
    bit0[g] = _mm512_set1_epi64(padding[1]);
    bit1[g] = _mm512_set1_epi64(padding[2]);
    for (int level = 0; level < rest.kLevels; ++level) {
      falls.bits[level][g] = zero;
      rest.bits[level][g] = _mm512_set1_epi64(padding[3 + level]);
    }
  }
  for (int tap = 0; tap < at.taps; ++tap, weights += kVectorBytes) {
    const char* features[kGroups];
    bool is_inside = false;
    for (int g = 0; g < kGroups; ++g) {
      is_inside |= groups[g].taps[tap] != nullptr;
      features[g] =
          groups[g].taps[tap] == nullptr ? outside : groups[g].taps[tap];
      counter.bit1[g] = zero;
    }
    if (!is_inside) {
      weights += at.words * kWordBytes;
      continue;
    }
    for (int64_t word = 0; word < at.words; ++word) {
      __m512i carry[kGroups];
      add_quads<kQuadLevels>(features, weights, 0, &counter, carry);
      falls.add_one(carry);
      for (const char*& own : features) own += kWordRows * kColumns;
      weights += kWordBytes;
    }
    __m512i carry[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      const __m512i own = _mm512_gf2p8affine_epi64_epi8(broadcast(features[g]),
                                                        load(weights), 0);
      carry[g] = _mm512_and_si512(bit0[g], own);
      bit0[g] = _mm512_xor_si512(bit0[g], own);
      add(&bit1[g], &carry[g], counter.bit1[g]);
    }
    rest.add_one(carry);
  }
  for (int g = 0; g < kGroups; ++g) {
    __m512i twice[kSumBits];
    twice[0] = _mm512_set1_epi64(groups[g].padding[0]);
    twice[1] = bit0[g];
    twice[2] = bit1[g];
    for (int level = 0; level < kQuadLevels; ++level)
      twice[3 + level] = counter.falls[level][g];
    falls.total(g, twice + 3 + kQuadLevels, at.bits - 3 - kQuadLevels);
    rest.add_to(g, twice + 3, at.bits - 3);
    if (compares_bits(layer)) {
      compare(twice, at.bits, constants + at.limits + block * at.limits_bytes,
              at.levels, static_cast<uint64_t*>(groups[g].result));
    } else {
      subtract(twice, static_cast<int32_t>(layer.weights_per_output()),
               static_cast<int32_t*>(groups[g].result));
    }
  }
}

size_t constants_bytes(const Layer& layer) { return Layout(layer).end; }

void pack(const Layer& layer, void* constants) {
  const Layout at(layer);
  auto* bytes = static_cast<uint8_t*>(constants);
  std::fill_n(bytes, at.end, 0);
  if (layer.pad_value != 0) {
    for (int c = 0; c < layer.in_channels; ++c)
      store_code(layer.input, bytes, c, layer.pad_value);
  }
  for (int position = 0; position < at.blocks * kBlock; ++position) {
    const int own = position % kBlock / 8 * 8 + 7 - position % 8;
    const int o =
        position / kBlock * kBlock + channel_at(layer, position % kBlock);
    const bool exists = o < layer.out_channels;
    const bool is_turned =
        exists && compares_bits(layer) && layer.direction[o] < 0;
    for (int tap = 0; tap < at.taps; ++tap) {
      uint8_t* to = bytes + at.weights + position / kBlock * at.block_bytes +
                    tap * at.tap_bytes + own;
      unsigned parity = 0;
      for (int word = 0; word < at.words; ++word) {
        const int count = std::min(64, layer.in_channels - word * 64);
        uint64_t planes[kMostPlanes] = {};
        if (exists) {
          load_weight_planes(layer, o,
                             int64_t{tap} * layer.in_channels + word * 64,
                             count, planes);
          if (is_turned) planes[0] ^= ~uint64_t{0} >> (64 - count);
        }
        for (int quad = 0; quad < kQuads; ++quad) {
          const unsigned four = planes[0] >> (4 * quad) & 15;
          const unsigned own = four | parity << 4;
          to[0] = kTwoWeights.bytes[own];
          to[kVectorBytes] = kFourWeights.bytes[own];
          to += 2 * kVectorBytes;
          parity ^= static_cast<unsigned>(__builtin_parity(four));
        }
      }
      *to = static_cast<uint8_t>(kParityOfInput | parity * kParityOfWeights);
    }
    if (!exists) continue;
    for (int k = 0; k < at.levels; ++k) {
      pack_limit(layer, k, o, at.bits, position % 8, kVectorBytes,
                 bytes + at.limits + position / kBlock * at.limits_bytes +
                     k * at.bits * kVectorBytes + position % kBlock / 8 * 8);
    }
  }
}

bool supports(const Layer& layer) {
  const Tiling tiling(layer);
  const Layout at(layer);
  return layer.groups == 1 && tiling.columns > 0 && at.taps <= kMostTaps &&
         at.taps * at.words <= kMostWords && tiling.in_rows <= kMostTaps &&
         tiling.pool.height <= kMostGroups / 2 &&
         tiling.pool.width <= tiling.columns;
}

struct Blocks {
  static size_t block_bytes(const Layer& layer) {
    return Layout(layer).block_bytes;
  }
};

size_t scratch_bytes(const Layer& layer) {
  return round_up(FeatureRows::bytes(layer), 64) + kMostGroups * kResultBytes;
}

int64_t units(const Layer& layer) {
  const int64_t tiles = Tiling(layer).tiles(layer);
  const int step = blocks_per_unit<Blocks>(layer, tiles);
  return tiles * ((block_count(layer.out_channels) + step - 1) / step);
}

// Counting on planes is faster where much of the registers is filled up.
bool is_worthwhile(const Layer& layer) {
  const Tiling tiling(layer);
  int positions = 0, groups = 0;
  for (int i = 0; i < tiling.across; ++i) {
    const Tile tile(layer, tiling, int64_t{i} * tiling.down);
    positions += tile.x_end - tile.x_begin;
    groups += tile.groups;
  }
  return 5 * positions >= 4 * kGroup * groups;
}

// Taps of a window on one axis that lie inside, all if padding has a value.
int taps_inside(const Layer& layer, int64_t start, int taps, int dilation,
                int size) {
  if (layer.pad_value != 0 ||
      (start >= 0 && start + (taps - 1) * int64_t{dilation} < size))
    return taps;
  int inside = 0;
  for (int tap = 0; tap < taps; ++tap, start += dilation)
    inside += start >= 0 && start < size;
  return inside;
}

// Bit k of numbers[i] to all bits of byte i of bits[k].
AQE_INLINE void spread_bits(const int32_t* numbers, int64_t* bits) {
  const __m256i all =
      _mm256_load_si256(reinterpret_cast<const __m256i*>(numbers));
  for (int k = 0; k < kSumBits; ++k) {
    const __mmask8 set = _mm256_test_epi32_mask(all, _mm256_set1_epi32(1 << k));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(bits + k), _mm_movm_epi8(set));
  }
}

// The groups of a tile, row by row.
AQE_TARGET int find_groups(const Layer& layer, const Tile& tile,
                           FeatureRows* rows, char* results, Group* group) {
  const Window& window = layer.window;
  const Group* first = group;
  for (int y = tile.y_begin; y < tile.y_end; ++y) {
    const int64_t top = int64_t{y} * window.stride_y - window.pad_top;
    const int64_t down = taps_inside(layer, top, window.height,
                                     window.dilation_y, layer.in_height);
    for (int g = 0; g < tile.groups; ++g, ++group, results += kResultBytes) {
      group->result = results;
      const char** tap = group->taps;
      for (int ky = 0; ky < window.height; ++ky) {
        const char* row = rows->at(
            tile.n, top + int64_t{ky} * window.dilation_y, tile.x_begin);
        if (row == nullptr && layer.pad_value != 0) row = rows->outside();
        for (int kx = 0; kx < window.width; ++kx) {
          *tap++ =
              row == nullptr ? nullptr : row + rows->offset(kx) + g * kGroup;
        }
      }
      const auto across = [&](int position) {
        const int64_t left =
            int64_t{tile.x_begin + g * kGroup + position} * window.stride_x -
            window.pad_left;
        return taps_inside(layer, left, window.width, window.dilation_x,
                           layer.in_width);
      };
      if (down == window.height && across(0) == window.width &&
          across(kGroup - 1) == window.width) {
        std::fill_n(group->padding, kSumBits, 0);
        continue;
      }
      alignas(32) int32_t padding[kGroup];
      for (int i = 0; i < kGroup; ++i) {
        padding[i] = static_cast<int32_t>(
            layer.in_channels * (window_taps(layer) - down * across(i)));
      }
      spread_bits(padding, group->padding);
    }
  }
  return static_cast<int>(group - first);
}

template <int kGroups>
auto multiply_by_channels(const Layer& layer) {
  return layer.in_channels <= 16   ? multiply_groups<kGroups, 2>
         : layer.in_channels <= 32 ? multiply_groups<kGroups, 3>
                                   : multiply_groups<kGroups, kLevels>;
}

void run(const Layer& layer, const void* constants, const void* input,
         void* output, void* scratch, int64_t begin, int64_t end) {
  const Layout at(layer);
  const Tiling tiling(layer);
  const int64_t tiles = tiling.tiles(layer);
  const int step = blocks_per_unit<Blocks>(layer, tiles);
  auto* memory = static_cast<char*>(scratch);
  FeatureRows rows(layer, tiling, constants, input, memory);
  char* results = memory + round_up(FeatureRows::bytes(layer), 64);
  const auto multiply_one = multiply_by_channels<1>(layer);
  const auto multiply_two = multiply_by_channels<2>(layer);
  const auto store = output_stage(layer.output);
  Group groups[kMostGroups];
  for (int64_t unit = begin; unit < end; ++unit) {
    const Tile tile(layer, tiling, unit % tiles);
    const int count = find_groups(layer, tile, &rows, results, groups);
    const int first = static_cast<int>(unit / tiles) * step;
    for (int block = first; block < std::min(first + step, at.blocks);
         ++block) {
      for (int g = 0; g < count; g += 2) {
        const auto multiply = g + 1 < count ? multiply_two : multiply_one;
        multiply(layer, at, static_cast<const char*>(constants), block,
                 groups + g, rows.outside());
      }
      store(layer, tiling, tile, block, results, output);
    }
  }
}

}  // namespace
}  // namespace gfni

extern constexpr Kernel kConvXnorAvx512 = {"conv_2d_xnor_avx512",
                                           Operator::kConv2D,
                                           width_set(Type::kPacked1),
                                           width_set(1),
                                           kAvx512 | kAvx512Gfni,
                                           gfni::kGroup,
                                           kBlock,
                                           gfni::supports,
                                           gfni::constants_bytes,
                                           gfni::pack,
                                           gfni::scratch_bytes,
                                           gfni::units,
                                           gfni::run,
                                           gfni::is_worthwhile};

}  // namespace aqe
