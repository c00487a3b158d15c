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
// input are 0; it adds no difference.
#include <immintrin.h>

#include "kernels/gfni_features.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

AQE_INLINE __m512i broadcast(const char* eight_bytes) {
  int64_t value;
  std::memcpy(&value, eight_bytes, 8);
  return _mm512_set1_epi64(value);
}

// A bit of a counter: it takes two bits of its weight, and what it carries
// takes the place of the first.
AQE_INLINE void add(__m512i* bit, __m512i* first, __m512i second) {
  constexpr int kXor3 = 0x96, kCarry = 0xb2;  // of a full adder, after its sum
  *bit = _mm512_ternarylogic_epi64(*bit, *first, second, kXor3);
  *first = _mm512_ternarylogic_epi64(*first, *bit, second, kCarry);
}

// A counter that is seldom added to: a carry waits at the level that the number
// of additions says, until one of its weight comes.
struct Tally {
  static constexpr int kLevels = 9;  // for kMostWords additions
  __m512i bits[kLevels], waiting[kLevels];
  int64_t added;

  AQE_INLINE void clear() {
    std::fill_n(bits, kLevels, _mm512_setzero_si512());
    added = 0;
  }
  AQE_INLINE void add_one(__m512i carry) {
    int level = 0;
    for (; added >> level & 1; ++level)
      add(&bits[level], &carry, waiting[level]);
    waiting[level] = carry;
    ++added;
  }
  // Adds what waits, and that to `sum`, whose first bit has this one's weight.
  AQE_INLINE void add_to(__m512i* sum, int most) const {
    const __m512i zero = _mm512_setzero_si512();
    __m512i waits = zero, carry = zero;
    for (int level = 0; level < most; ++level) {
      __m512i bit = level < kLevels ? bits[level] : zero;
      add(&bit, &waits,
          level < kLevels && added >> level & 1 ? waiting[level] : zero);
      add(&sum[level], &carry, bit);
    }
  }
};

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
                          int quad, Counter<kGroups>* counter,
                          __m512i* carry) {
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

// From the bits of twice the sums, [bit][lane of 8 channels][position], to
// 16 bits each, and from `first` of each position on downwards.
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
          _mm512_sub_epi32(_mm512_set1_epi32(first[i]), sums[v]));
    }
  }
}

// Where a group of eight positions finds its features at each tap, or null
// where the row of the tap lies outside.
struct Group {
  const char* taps[kMostTaps];
  int32_t first[kGroup];  // the sums, were nothing different
  int32_t* acc;
};

// kGroups groups times 64 output channels.
template <int kGroups>
AQE_AVX512_GFNI void multiply_groups(const Group* groups, const char* outside,
                                     int taps, int64_t words,
                                     const char* weights) {
  const __m512i zero = _mm512_setzero_si512();
  Counter<kGroups> counter;
  for (int level = 0; level < kLevels; ++level)
    std::fill_n(counter.falls[level], kGroups, zero);
  // Of the differences that no fall has counted: bit 0, bit 1, carries.
  __m512i bit0[kGroups], bit1[kGroups];
  Tally falls[kGroups], rest[kGroups];
  for (int g = 0; g < kGroups; ++g) {
    bit0[g] = bit1[g] = zero;
    falls[g].clear();
    rest[g].clear();
  }
  for (int tap = 0; tap < taps; ++tap, weights += kVectorBytes) {
    const char* features[kGroups];
    bool is_inside = false;
    for (int g = 0; g < kGroups; ++g) {
      is_inside |= groups[g].taps[tap] != nullptr;
      features[g] =
          groups[g].taps[tap] == nullptr ? outside : groups[g].taps[tap];
      counter.bit1[g] = zero;
    }
    if (!is_inside) {
      weights += words * kWordBytes;
      continue;
    }
    for (int64_t word = 0; word < words; ++word) {
      __m512i carry[kGroups];
      add_quads<kLevels>(features, weights, 0, &counter, carry);
      for (int g = 0; g < kGroups; ++g) {
        falls[g].add_one(carry[g]);
        features[g] += kWordRows * kColumns;
      }
      weights += kWordBytes;
    }
    for (int g = 0; g < kGroups; ++g) {
      const __m512i own = _mm512_gf2p8affine_epi64_epi8(
          broadcast(features[g]), load(weights), 0);
      __m512i carry = _mm512_and_si512(bit0[g], own);
      bit0[g] = _mm512_xor_si512(bit0[g], own);
      add(&bit1[g], &carry, counter.bit1[g]);
      rest[g].add_one(carry);
    }
  }
  for (int g = 0; g < kGroups; ++g) {
    constexpr int kBits = 16;  // of twice the sums
    __m512i twice[kBits] = {zero, bit0[g], bit1[g]};
    std::fill_n(twice + 3, kBits - 3, zero);
    for (int level = 0; level < kLevels; ++level)
      twice[3 + level] = counter.falls[level][g];
    falls[g].add_to(twice + 3 + kLevels, kBits - 3 - kLevels);
    rest[g].add_to(twice + 3, kBits - 3);
    subtract(twice, groups[g].first, groups[g].acc);
  }
}

// Constants: a pixel of padding; weights [block][tap], of a tap [word][quad]
// [two, four][lane][channel of the lane, from the last] and bit 0 likewise.
struct Layout {
  int blocks, words, taps;
  size_t weights, tap_bytes, block_bytes, end;

  explicit Layout(const Layer& layer)
      : blocks(block_count(layer.out_channels)),
        words(aqe::words(layer.in_channels)),
        taps(static_cast<int>(window_taps(layer))),
        weights(round_up(pixel_bytes(layer.input, layer.in_channels), 64)),
        tap_bytes(words * kWordBytes + kVectorBytes),
        block_bytes(taps * tap_bytes),
        end(weights + blocks * block_bytes) {}
};

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
    const int o = position / kBlock * kBlock + channel_at(position % kBlock);
    for (int tap = 0; tap < at.taps; ++tap) {
      uint8_t* to = bytes + at.weights + position / kBlock * at.block_bytes +
                    tap * at.tap_bytes + own;
      unsigned parity = 0;
      for (int word = 0; word < at.words; ++word) {
        const int count = o < layer.out_channels
                              ? std::min(64, layer.in_channels - word * 64)
                              : 0;
        uint64_t negative = 0;
        for (int c = 0; c < count; ++c) {
          const int64_t i = int64_t{tap} * layer.in_channels + word * 64 + c;
          negative |= uint64_t{weight_code(layer, o, i) < 0} << c;
        }
        for (int quad = 0; quad < kQuads; ++quad) {
          const unsigned four = negative >> (4 * quad) & 15;
          for (const int some : {2, 4}) {
            *to = static_cast<uint8_t>(feature(four, parity, some, true));
            to += kVectorBytes;
          }
          parity ^= static_cast<unsigned>(__builtin_parity(four));
        }
      }
      *to = static_cast<uint8_t>(kParityOfInput | parity * kParityOfWeights);
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

struct Method : VectorOutput<Int32Lanes> {
  static size_t block_bytes(const Layer& layer) {
    return Layout(layer).block_bytes;
  }
};

size_t scratch_bytes(const Layer& layer) {
  return round_up(FeatureRows::bytes(layer), 64) +
         sizeof(int32_t) * kMostGroups * kGroup * kBlock;
}

int64_t units(const Layer& layer) {
  const int64_t tiles = Tiling(layer).tiles(layer);
  const int step = blocks_per_unit<Method>(layer, tiles);
  return tiles * ((block_count(layer.out_channels) + step - 1) / step);
}

// Outputs of a tile and the positions [y_begin, y_end) x [x_begin, x_end) that
// they need.
struct Tile {
  int n, y, x, rows, columns;
  int y_begin, y_end, x_begin, x_end;
  int groups;  // of a row

  // Below each other first, since they share rows.
  Tile(const Layer& layer, const Tiling& tiling, int64_t index) {
    const Window& pool = tiling.pool;
    y = static_cast<int>(index % tiling.down) * tiling.rows;
    index /= tiling.down;
    x = static_cast<int>(index % tiling.across) * tiling.outputs;
    n = static_cast<int>(index / tiling.across);
    rows = std::min(tiling.rows, layer.out_height - y);
    columns = std::min(tiling.outputs, layer.out_width - x);
    const int top = y * pool.stride_y - pool.pad_top;
    const int left = x * pool.stride_x - pool.pad_left;
    y_begin = std::max(top, 0);
    x_begin = std::max(left, 0);
    y_end = std::min(top + (rows - 1) * pool.stride_y + pool.height,
                     layer.conv_height);
    x_end = std::min(left + (columns - 1) * pool.stride_x + pool.width,
                     layer.conv_width);
    groups = (x_end - x_begin + kGroup - 1) / kGroup;
  }
};

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
  if (layer.pad_value != 0) return taps;
  int inside = 0;
  for (int tap = 0; tap < taps; ++tap, start += dilation)
    inside += start >= 0 && start < size;
  return inside;
}

// The groups of a tile, row by row.
int find_groups(const Layer& layer, const Tile& tile, FeatureRows* rows,
                int32_t* acc, Group* group) {
  const Window& window = layer.window;
  const Group* first = group;
  for (int y = tile.y_begin; y < tile.y_end; ++y) {
    const int64_t top = int64_t{y} * window.stride_y - window.pad_top;
    const int64_t down = taps_inside(layer, top, window.height,
                                     window.dilation_y, layer.in_height);
    for (int g = 0; g < tile.groups; ++g, ++group, acc += kGroup * kBlock) {
      group->acc = acc;
      const char** tap = group->taps;
      for (int ky = 0; ky < window.height; ++ky) {
        const char* row =
            rows->at(tile.n, top + int64_t{ky} * window.dilation_y,
                     tile.x_begin);
        if (row == nullptr && layer.pad_value != 0) row = rows->outside();
        for (int kx = 0; kx < window.width; ++kx) {
          *tap++ =
              row == nullptr ? nullptr : row + rows->offset(kx) + g * kGroup;
        }
      }
      for (int i = 0; i < kGroup; ++i) {
        const int64_t left =
            int64_t{tile.x_begin + g * kGroup + i} * window.stride_x -
            window.pad_left;
        group->first[i] = static_cast<int32_t>(
            layer.in_channels * down *
            taps_inside(layer, left, window.width, window.dilation_x,
                        layer.in_width));
      }
    }
  }
  return static_cast<int>(group - first);
}

AQE_TARGET void store_outputs(const Layer& layer, const Tiling& tiling,
                              const Tile& tile, int block, const int32_t* acc,
                              void* output) {
  const Window& pool = tiling.pool;
  const int stride = tile.groups * kGroup * kBlock;
  for (int y = tile.y; y < tile.y + tile.rows; ++y) {
    const int top = y * pool.stride_y - pool.pad_top;
    const int y_begin = std::max(top, 0);
    const int y_end = std::min(top + pool.height, layer.conv_height);
    char* pixel = pixel_at(
        layer.output, layer.out_channels, output,
        (int64_t{tile.n} * layer.out_height + y) * layer.out_width + tile.x);
    for (int x = tile.x; x < tile.x + tile.columns; ++x) {
      const int left = x * pool.stride_x - pool.pad_left;
      const int x_begin = std::max(left, 0);
      const int x_end = std::min(left + pool.width, layer.conv_width);
      const int32_t* own = acc + (y_begin - tile.y_begin) * stride +
                           (x_begin - tile.x_begin) * kBlock;
      alignas(64) int32_t best[kBlock];
      if (layer.has_pool) {
        Method::max(own, y_end - y_begin, stride, x_end - x_begin, best);
        own = best;
      }
      Method::store(layer, own, block, pixel);
      pixel += pixel_bytes(layer.output, layer.out_channels);
    }
  }
}

void run(const Layer& layer, const void* constants, const void* input,
         void* output, void* scratch, int64_t begin, int64_t end) {
  const Layout at(layer);
  const Tiling tiling(layer);
  const int64_t tiles = tiling.tiles(layer);
  const int step = blocks_per_unit<Method>(layer, tiles);
  auto* memory = static_cast<char*>(scratch);
  FeatureRows rows(layer, tiling, constants, input, memory);
  auto* acc = reinterpret_cast<int32_t*>(
      memory + round_up(FeatureRows::bytes(layer), 64));
  const char* weights = static_cast<const char*>(constants) + at.weights;
  Group groups[kMostGroups];
  for (int64_t unit = begin; unit < end; ++unit) {
    const Tile tile(layer, tiling, unit % tiles);
    const int count = find_groups(layer, tile, &rows, acc, groups);
    const int first = static_cast<int>(unit / tiles) * step;
    for (int block = first; block < std::min(first + step, at.blocks);
         ++block) {
      for (int g = 0; g < count; g += 2) {
        const auto multiply =
            g + 1 < count ? multiply_groups<2> : multiply_groups<1>;
        multiply(groups + g, rows.outside(), at.taps, at.words,
                 weights + block * at.block_bytes);
      }
      store_outputs(layer, tiling, tile, block, acc, output);
    }
  }
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
                                       scratch_bytes,
                                       units,
                                       run,
                                       is_worthwhile};

}  // namespace aqe
