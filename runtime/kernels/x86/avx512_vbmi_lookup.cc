// Convolutions by look-up with VPERMB of AVX-512 VBMI: tables of 64 entries.
// Few positions that are left for the last register are products of bytes.
#define AQE_BEYOND ",avx512vbmi,avx512vnni"
#include "kernels/x86/avx512_dot.h"

#include <cpuid.h>

#include "kernels/kernels.h"
#include "kernels/x86/dot_conv.h"
#include "kernels/x86/lookup.h"

namespace aqe {
namespace {

struct VbmiLookup : LookupParts {
  static constexpr int kIndexBits = 6;
  static constexpr lookup::TileShape kShapes[] = {{3, 3}, {2, 4}, {1, 8}};
  static constexpr int kLeastSlicedPixels = 2;
  static constexpr int kBytes = 64;
  using Bytes = __m512i;

  // The registers of positions and of tables that are loaded are fewest where a
  // tile has about as many of both; but it is to be full, and so is a part,
  // which a group of few channels does not fill.
  static lookup::TileShape shape(const Layer& layer) {
    const int64_t vectors = lookup::vector_count<VbmiLookup>(layer);
    const auto own = static_cast<size_t>(layer.out_channels / layer.groups);
    const lookup::TileShape& usual = kShapes[1];
    for (const lookup::TileShape& shape : kShapes) {
      if (vectors == shape.vectors && 7 * round_up(own, shape.channels) <=
                                          8 * round_up(own, usual.channels))
        return shape;
    }
    return usual;
  }

  // What takes less as products of bytes than as a register. A second one of a
  // tile takes half as long as a first one.
  static int64_t rest(const Layer& layer) {
    const int64_t count = lookup::positions(layer);
    const int64_t full = count / kBytes, left = count % kBytes;
    const int most = full % 2 == 0 ? kMaxPositions : kMaxPositions / 2;
    return layer.input == Type::kPacked3 && fits_tiles(layer) && full > 0 &&
                   left <= most
               ? left
               : 0;
  }

  AQE_TARGET static Bytes load(const void* from) {
    return _mm512_loadu_si512(from);
  }
  AQE_TARGET static void store(void* to, Bytes bytes) {
    _mm512_storeu_si512(to, bytes);
  }
  AQE_TARGET static Bytes zero() { return _mm512_setzero_si512(); }
  AQE_TARGET static Bytes set(uint8_t byte) {
    return _mm512_set1_epi8(static_cast<char>(byte));
  }
  AQE_TARGET static Bytes add(Bytes a, Bytes b) {
    return _mm512_add_epi8(a, b);
  }
  AQE_TARGET static Bytes load_table(const char* table) {
    return _mm512_load_si512(table);
  }
  // Goes by the lower six bits.
  AQE_TARGET static Bytes look_up(Bytes table, Bytes index) {
    return _mm512_permutexvar_epi8(index, table);
  }

  static constexpr bool kHasCodeTables = true;
  template <int kTables>
  AQE_TARGET static Bytes look_up_code(const Bytes (&tables)[kTables],
                                       Bytes bytes, Bytes first) {
    const Bytes index =
        _mm512_min_epu8(_mm512_subs_epu8(bytes, first),
                        set(static_cast<uint8_t>(kTables * kBytes - 1)));
    if constexpr (kTables == 1) {
      return look_up(tables[0], index);
    } else {
      const Bytes low = _mm512_permutex2var_epi8(tables[0], index, tables[1]);
      if constexpr (kTables == 2) return low;
      // Both go by the lower seven bits.
      return _mm512_mask_blend_epi8(
          _mm512_movepi8_mask(index), low,
          _mm512_permutex2var_epi8(tables[2], index, tables[3]));
    }
  }

  using LookupParts::high_bytes;
  using LookupParts::low_bytes;
  AQE_TARGET static Bytes low_bytes(Bytes a, Bytes b) {
    return _mm512_unpacklo_epi8(a, b);
  }
  AQE_TARGET static Bytes high_bytes(Bytes a, Bytes b) {
    return _mm512_unpackhi_epi8(a, b);
  }
  template <int kFirst, int kSecond>
  AQE_TARGET static Bytes pair(Bytes a, Bytes b) {
    return _mm512_castpd_si512(
        _mm512_shuffle_pd(_mm512_castsi512_pd(a), _mm512_castsi512_pd(b),
                          (kFirst | kSecond << 1) * 0x55));
  }
  AQE_TARGET static void store_parts(Bytes bytes, uint64_t* to, int64_t step) {
    store_part(to + 0 * step, _mm512_extracti32x4_epi32(bytes, 0));
    store_part(to + 1 * step, _mm512_extracti32x4_epi32(bytes, 1));
    store_part(to + 2 * step, _mm512_extracti32x4_epi32(bytes, 2));
    store_part(to + 3 * step, _mm512_extracti32x4_epi32(bytes, 3));
  }

  // Of pairs of bytes: the sums of both, the second 256 times, and those of the
  // second alone.
  struct Wide {
    __m512i both, second;
  };
  AQE_TARGET static Wide no_sums() { return {zero(), zero()}; }
  AQE_TARGET static void widen(Wide* wide, Bytes bytes) {
    wide->both = _mm512_add_epi16(wide->both, bytes);
    wide->second = _mm512_add_epi16(wide->second, _mm512_srli_epi16(bytes, 8));
  }
  AQE_TARGET static __m512i first(const Wide& wide) {
    return _mm512_sub_epi16(wide.both, _mm512_slli_epi16(wide.second, 8));
  }
  AQE_TARGET static Bytes narrow(const Wide& wide, uint16_t bias) {
    const __m512i all = _mm512_set1_epi16(static_cast<int16_t>(bias));
    const __m512i most = _mm512_set1_epi16(255);
    const __m512i low =
        _mm512_min_epu16(_mm512_subs_epu16(first(wide), all), most);
    const __m512i high =
        _mm512_min_epu16(_mm512_subs_epu16(wide.second, all), most);
    return low | _mm512_slli_epi16(high, 8);
  }
  AQE_TARGET static void store_wide(const Wide& wide, uint16_t* to) {
    const __m512i low = _mm512_unpacklo_epi16(first(wide), wide.second);
    const __m512i high = _mm512_unpackhi_epi16(first(wide), wide.second);
    const __m512i start = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i end = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    store(to, _mm512_permutex2var_epi64(low, start, high));
    store(to + 32, _mm512_permutex2var_epi64(low, end, high));
  }
  AQE_TARGET static Bytes add_passed(Bytes passes, Bytes bytes, Bytes threshold,
                                     Bytes bit) {
    return _mm512_mask_add_epi8(
        passes, _mm512_cmpge_epu8_mask(bytes, threshold), passes, bit);
  }

  // From words of one plane.
  template <int kBits, class Word>
  AQE_TARGET static void slice(const Word* words, int64_t, int64_t count,
                               int indices, uint8_t* to, int64_t step) {
    static_assert(kBits == 1 && sizeof(Word) < 8);
    for (int64_t k = 0; k < count; k += kBytes / sizeof(Word)) {
      const Bytes plane = load(words + k);
      for (int i = 0; i < indices; ++i) {
        const __m128i first = _mm_cvtsi32_si128(i * kIndexBits);
        uint8_t* row = to + i * step + k;
        if constexpr (sizeof(Word) == 2) {
          _mm256_storeu_si256(
              reinterpret_cast<__m256i*>(row),
              _mm512_cvtepi16_epi8(_mm512_srl_epi16(plane, first)));
        } else {
          _mm_storeu_si128(
              reinterpret_cast<__m128i*>(row),
              _mm512_cvtepi32_epi8(_mm512_srl_epi32(plane, first)));
        }
      }
    }
  }

  template <int kBits>
  AQE_TARGET static void slice(const uint64_t* words, int64_t, int64_t count,
                               int indices, uint8_t* to, int64_t step) {
    static_assert(kBits == 1);
    for (int64_t k = 0; k < count; k += kSide) {
      const Bytes planes[1] = {load(words + k)};
      slice_planes(planes, indices, to + k, step);
    }
  }

  // From pixels `elements` words apart, of one word a plane.
  template <int kBits>
  AQE_TARGET static void slice_pixels(const uint64_t* pixels, int64_t elements,
                                      int64_t count, int indices, uint8_t* to,
                                      int64_t step) {
    for (int64_t k = 0; k < count; k += kBytes) {
      const auto left = static_cast<int>(std::min<int64_t>(count - k, kBytes));
      const auto load_eight = [&](int i, Bytes(&planes)[kBits]) AQE_TARGET {
        load_planes(pixels + (k + i) * elements, elements,
                    std::min(left - i, kSide), planes);
      };
      if (left > kBytes / 2) {
        Bytes planes[kSide][kBits] = {};
        for (int i = 0; i < left; i += kSide) load_eight(i, planes[i / kSide]);
        slice_register(planes, indices, to + k, step);
        continue;
      }
      for (int i = 0; i < left; i += kSide) {
        Bytes planes[kBits];
        load_eight(i, planes);
        slice_planes(planes, indices, to + k + i, step);
      }
    }
  }

 private:
  static constexpr int kSide = 8;  // words of a register, bytes of a word

  // For a register of eight pixels, each of eight indices.
  struct Sides {
    uint8_t places[kBytes] = {};        // of the bytes of an index
    int64_t bits[kIndexBits + 1] = {};  // where indices of so many codes begin

    constexpr Sides() {
      for (int i = 0; i < kBytes; ++i)
        places[i] = static_cast<uint8_t>(i % kSide * kSide + i / kSide);
      for (int codes = 1; codes <= kIndexBits; ++codes) {
        for (int i = 0; i < kSide; ++i)
          bits[codes] |= int64_t{i * codes} << 8 * i;
      }
    }
  };

  // Planes of eight pixels, of which so many are there.
  template <int kBits>
  AQE_TARGET static void load_planes(const uint64_t* pixels, int64_t elements,
                                     int count, Bytes (&planes)[kBits]) {
    if (elements != kBits) return load_apart(pixels, elements, count, planes);
    Bytes words[kBits];
    for (int i = 0; i < kBits; ++i) {
      const int some = std::clamp(count * kBits - i * kSide, 0, kSide);
      words[i] = _mm512_maskz_loadu_epi64(
          static_cast<__mmask8>((1 << some) - 1), pixels + i * kSide);
    }
    part(words, planes);
  }

  // Planes side by side of words that take turns.
  AQE_TARGET static void part(const Bytes (&words)[2], Bytes (&planes)[2]) {
    const Bytes first = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    planes[0] = _mm512_permutex2var_epi64(words[0], first, words[1]);
    planes[1] = _mm512_permutex2var_epi64(
        words[0], first | _mm512_set1_epi64(1), words[1]);
  }
  AQE_TARGET static void part(const Bytes (&words)[3], Bytes (&planes)[3]) {
    const auto pick = [&](Bytes of_two, Bytes of_all) AQE_TARGET {
      return _mm512_permutex2var_epi64(
          _mm512_permutex2var_epi64(words[0], of_two, words[1]), of_all,
          words[2]);
    };
    planes[0] = pick(_mm512_setr_epi64(0, 3, 6, 9, 12, 15, 0, 0),
                     _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 10, 13));
    planes[1] = pick(_mm512_setr_epi64(1, 4, 7, 10, 13, 0, 0, 0),
                     _mm512_setr_epi64(0, 1, 2, 3, 4, 8, 11, 14));
    planes[2] = pick(_mm512_setr_epi64(2, 5, 8, 11, 14, 0, 0, 0),
                     _mm512_setr_epi64(0, 1, 2, 3, 4, 9, 12, 15));
  }

  // Those of pixels further apart.
  AQE_TARGET static void load_apart(const uint64_t* pixels, int64_t elements,
                                    int count, Bytes (&planes)[2]) {
    const auto two = [&](int i) AQE_TARGET {
      return load_part(pixels + std::min(i, count - 1) * elements);
    };
    const auto four = [&](int i) AQE_TARGET {
      Bytes all = _mm512_castsi128_si512(two(i));
      all = _mm512_inserti64x2(all, two(i + 2), 1);
      all = _mm512_inserti64x2(all, two(i + 4), 2);
      return _mm512_inserti64x2(all, two(i + 6), 3);
    };
    const Bytes even = four(0), odd = four(1);
    planes[0] = _mm512_unpacklo_epi64(even, odd);
    planes[1] = _mm512_unpackhi_epi64(even, odd);
  }
  AQE_TARGET static void load_apart(const uint64_t* pixels, int64_t elements,
                                    int count, Bytes (&planes)[3]) {
    const auto three = [&](int i) AQE_TARGET {
      return _mm256_maskz_loadu_epi64(
          7, pixels + std::min(i, count - 1) * elements);
    };
    // Of pixels i and i + 4.
    const auto both = [&](int i) AQE_TARGET {
      return _mm512_inserti64x4(_mm512_castsi256_si512(three(i)), three(i + 4),
                                1);
    };
    const Bytes pixels_0 = both(0), pixels_1 = both(1);
    const Bytes pixels_2 = both(2), pixels_3 = both(3);
    const Bytes first = _mm512_unpacklo_epi64(pixels_0, pixels_1);
    const Bytes second = _mm512_unpacklo_epi64(pixels_2, pixels_3);
    const Bytes lower = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const Bytes upper = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    planes[0] = _mm512_permutex2var_epi64(first, lower, second);
    planes[1] = _mm512_permutex2var_epi64(
        _mm512_unpackhi_epi64(pixels_0, pixels_1), lower,
        _mm512_unpackhi_epi64(pixels_2, pixels_3));
    planes[2] = _mm512_permutex2var_epi64(first, upper, second);
  }

  // Indices i to i + 7 of eight pixels, those of each index side by side.
  template <int kBits>
  AQE_TARGET static Bytes eight_indices(const Bytes (&planes)[kBits], int i) {
    constexpr int kCodes = kIndexBits / kBits;
    constexpr int kFirstWhereThird = 0xe4;  // else the second
    alignas(64) static constexpr Sides kSides;
    const Bytes start = _mm512_set1_epi64(kSides.bits[kCodes]);
    const __m128i before = _mm_cvtsi32_si128(i * kCodes);
    Bytes index = _mm512_multishift_epi64_epi8(
        start, _mm512_srl_epi64(planes[0], before));
    for (int p = 1; p < kBits; ++p) {
      const Bytes codes = _mm512_multishift_epi64_epi8(
          _mm512_sub_epi8(start, set(static_cast<uint8_t>(p * kCodes))),
          _mm512_srl_epi64(planes[p], before));
      index = _mm512_ternarylogic_epi64(
          index, codes, set(static_cast<uint8_t>((1 << p * kCodes) - 1)),
          kFirstWhereThird);
    }
    return _mm512_permutexvar_epi8(load(kSides.places), index);
  }

  template <int kBits>
  AQE_TARGET static void slice_planes(const Bytes (&planes)[kBits], int indices,
                                      uint8_t* to, int64_t step) {
    for (int i = 0; i < indices; i += kSide) {
      alignas(64) uint64_t rows[kSide];
      store(rows, eight_indices(planes, i));
      for (int row = 0; row < std::min(kSide, indices - i); ++row, to += step)
        std::memcpy(to, rows + row, sizeof *rows);
    }
  }

  // From planes of as many pixels as a register has bytes.
  template <int kBits>
  AQE_TARGET static void slice_register(const Bytes (&planes)[kSide][kBits],
                                        int indices, uint8_t* to,
                                        int64_t step) {
    constexpr int kEven = 0x88, kOdd = 0xdd;  // of the four parts of a register
    for (int i = 0; i < indices; i += kSide) {
      Bytes rows[kSide], pairs[2][kSide / 2];
#pragma GCC unroll 4
      for (int k = 0; k < kSide / 2; ++k) {
        const Bytes a = eight_indices(planes[2 * k], i);
        const Bytes b = eight_indices(planes[2 * k + 1], i);
        pairs[0][k] = _mm512_unpacklo_epi64(a, b);
        pairs[1][k] = _mm512_unpackhi_epi64(a, b);
      }
#pragma GCC unroll 2
      for (int k = 0; k < 2; ++k) {
        const auto& own = pairs[k];
        const Bytes a = _mm512_shuffle_i64x2(own[0], own[1], kEven);
        const Bytes b = _mm512_shuffle_i64x2(own[2], own[3], kEven);
        const Bytes c = _mm512_shuffle_i64x2(own[0], own[1], kOdd);
        const Bytes d = _mm512_shuffle_i64x2(own[2], own[3], kOdd);
        rows[k] = _mm512_shuffle_i64x2(a, b, kEven);
        rows[k + 2] = _mm512_shuffle_i64x2(c, d, kEven);
        rows[k + 4] = _mm512_shuffle_i64x2(a, b, kOdd);
        rows[k + 6] = _mm512_shuffle_i64x2(c, d, kOdd);
      }
#pragma GCC unroll 8
      for (int row = 0; row < kSide; ++row) {
        if (i + row == indices) break;
        store(to, rows[row]);
        to += step;
      }
    }
  }
};

// Whether the CPU is of AMD's family 19h (Zen 4), which starts one VPDPBUSD or
// VPOPCNTQ of 512 bits in a cycle and one VPERMB. Intel's start twice as many
// VPDPBUSD, for one of which the port of VPERMB is needed.
bool permutes_as_often_as_it_multiplies() {
  static const bool answer = [] {
    unsigned eax, ebx, ecx, edx;
    constexpr unsigned kAuthenticAmd[] = {0x68747541, 0x69746e65, 0x444d4163};
    if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx) || ebx != kAuthenticAmd[0] ||
        edx != kAuthenticAmd[1] || ecx != kAuthenticAmd[2] ||
        !__get_cpuid(1, &eax, &ebx, &ecx, &edx))
      return false;
    return (eax >> 8 & 15) == 15 && (eax >> 20 & 255) == 0x19 - 15;
  }();
  return answer;
}

// Whether sums are no longer than that, or take less all the same than as
// planes, or at 3 bits as bytes: on such a CPU, where so many eighths of so
// many registers, or more, are positions.
bool is_worthwhile_beyond(int64_t products, const Layer& layer, int64_t vectors,
                          int eighths) {
  const int64_t own = lookup::vector_count<VbmiLookup>(layer);
  return layer.weights_per_output() <= products ||
         (own >= vectors &&
          8 * lookup::looked_up<VbmiLookup>(layer) >=
              eighths * own * VbmiLookup::kBytes &&
          permutes_as_often_as_it_multiplies());
}

// Where planes do not take less: they have fuller words of long sums, and XNOR
// with GFNI fuller blocks of many output channels.
bool is_worthwhile(const Layer& layer) {
  const int64_t products = layer.weights_per_output();
  if (!lookup::fills_registers<VbmiLookup>(layer)) return false;
  if (layer.groups > 1) return true;
  if (layer.input == Type::kPacked3)
    return is_worthwhile_beyond(576, layer, 1, 6);
  if (layer.weight_bits == 3) return true;
  if (layer.input == Type::kPacked1) {
    return layer.weight_bits == 1
               ? products <= 512 ||
                     3 * layer.out_channels <=
                         2 * kBlock * block_count(layer.out_channels)
               : products <= 576;
  }
  return layer.weight_bits == 2
             ? products <= 576 && is_worthwhile_beyond(512, layer, 2, 7)
             : products <= 512 &&
                   (layer.in_channels < kBlock || products <= 128);
}

constexpr Kernel kLookup = lookup::ConvKernel<VbmiLookup>::kernel(
    "conv_2d_lookup_avx512", kAvx512 | kAvx512Gfni | kAvx512Vnni,
    is_worthwhile);

// The same with the rest of each image, a unit behind those of look-ups.
using Rest = DotConv<ByteDot>;

bool has_rest(const Layer& layer) { return VbmiLookup::rest(layer) > 0; }

size_t rest_at(const Layer& layer) {
  return round_up(kLookup.constants_bytes(layer), 64);
}

size_t constants_bytes(const Layer& layer) {
  return rest_at(layer) + (has_rest(layer) ? dot_constants_bytes(layer) : 0);
}

void pack(const Layer& layer, void* constants) {
  kLookup.pack_constants(layer, constants);
  if (has_rest(layer)) {
    pack_dot<Rest::kChannels>(layer,
                              static_cast<char*>(constants) + rest_at(layer));
  }
}

size_t scratch_bytes(const Layer& layer) {
  return std::max(kLookup.scratch_bytes(layer),
                  has_rest(layer) ? tile_scratch_bytes<Rest>(layer) : 0);
}

int64_t units(const Layer& layer) {
  return kLookup.units(layer) + (has_rest(layer) ? layer.batch : 0);
}

void run(const Layer& layer, const void* constants, const void* input,
         void* output, void* scratch, int64_t begin, int64_t end) {
  const int64_t own = kLookup.units(layer);
  if (begin < own) {
    kLookup.run(layer, constants, input, output, scratch, begin,
                std::min(end, own));
  }
  if (end <= own) return;
  const int64_t rest = VbmiLookup::rest(layer);
  TileRun<Rest> tiles(layer,
                      static_cast<const char*>(constants) + rest_at(layer),
                      input, output, scratch);
  for (int64_t n = std::max(begin, own) - own; n < end - own; ++n) {
    Tile tile;
    locate_outputs(layer, (n + 1) * lookup::positions(layer) - rest,
                   static_cast<int>(rest), &tile);
    tiles.gather(tile);
    for (int block = 0; block < block_count(layer.out_channels); ++block)
      tiles.compute(tile, block);
  }
}

constexpr Kernel with_rest() {
  Kernel kernel = kLookup;
  kernel.constants_bytes = constants_bytes;
  kernel.pack_constants = pack;
  kernel.scratch_bytes = scratch_bytes;
  kernel.units = units;
  kernel.run = run;
  return kernel;
}

}  // namespace

extern constexpr Kernel kConvLookupAvx512 = with_rest();

}  // namespace aqe
