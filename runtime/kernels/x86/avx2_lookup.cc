// Convolutions by look-up with VPSHUFB: tables of 16 entries.
#include "kernels/x86/avx2.h"

#include "kernels/kernels.h"
#include "kernels/loops/lookup_slice.h"
#include "kernels/x86/lookup.h"

namespace aqe {
namespace {

struct Avx2Lookup : LookupParts {
  static constexpr int kIndexBits = 4;
  static constexpr bool kHasCodeTables = false;
  static constexpr lookup::TileShape kShapes[] = {{2, 4}};
  static constexpr int kLeastSlicedPixels = 4;
  static constexpr int kBytes = 32;
  using Bytes = __m256i;

  static lookup::TileShape shape(const Layer&) { return kShapes[0]; }
  static int64_t rest(const Layer&) { return 0; }

  AQE_TARGET static Bytes load(const void* from) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(from));
  }
  AQE_TARGET static void store(void* to, Bytes bytes) {
    _mm256_storeu_si256(static_cast<__m256i*>(to), bytes);
  }
  AQE_TARGET static Bytes zero() { return _mm256_setzero_si256(); }
  AQE_TARGET static Bytes set(uint8_t byte) {
    return _mm256_set1_epi8(static_cast<char>(byte));
  }
  AQE_TARGET static Bytes add(Bytes a, Bytes b) {
    return _mm256_add_epi8(a, b);
  }
  AQE_TARGET static Bytes load_table(const char* table) {
    return _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(table)));
  }
  AQE_TARGET static Bytes look_up(Bytes table, Bytes index) {
    return _mm256_shuffle_epi8(table, index);
  }

  using LookupParts::high_bytes;
  using LookupParts::low_bytes;
  AQE_TARGET static Bytes low_bytes(Bytes a, Bytes b) {
    return _mm256_unpacklo_epi8(a, b);
  }
  AQE_TARGET static Bytes high_bytes(Bytes a, Bytes b) {
    return _mm256_unpackhi_epi8(a, b);
  }
  template <int kFirst, int kSecond>
  AQE_TARGET static Bytes pair(Bytes a, Bytes b) {
    return _mm256_castpd_si256(
        _mm256_shuffle_pd(_mm256_castsi256_pd(a), _mm256_castsi256_pd(b),
                          (kFirst | kSecond << 1) * 0x5));
  }
  AQE_TARGET static void store_parts(Bytes bytes, uint64_t* to, int64_t step) {
    store_part(to + 0 * step, _mm256_extracti128_si256(bytes, 0));
    store_part(to + 1 * step, _mm256_extracti128_si256(bytes, 1));
  }

  // Of pairs of bytes: the sums of both, the second 256 times, and those of the
  // second alone.
  struct Wide {
    __m256i both, second;
  };
  AQE_TARGET static Wide no_sums() { return {zero(), zero()}; }
  AQE_TARGET static void widen(Wide* wide, Bytes bytes) {
    wide->both = _mm256_add_epi16(wide->both, bytes);
    wide->second = _mm256_add_epi16(wide->second, _mm256_srli_epi16(bytes, 8));
  }
  AQE_TARGET static __m256i first(const Wide& wide) {
    return _mm256_sub_epi16(wide.both, _mm256_slli_epi16(wide.second, 8));
  }
  AQE_TARGET static Bytes narrow(const Wide& wide, uint16_t bias) {
    const __m256i all = _mm256_set1_epi16(static_cast<int16_t>(bias));
    const __m256i most = _mm256_set1_epi16(255);
    const __m256i low =
        _mm256_min_epu16(_mm256_subs_epu16(first(wide), all), most);
    const __m256i high =
        _mm256_min_epu16(_mm256_subs_epu16(wide.second, all), most);
    return low | _mm256_slli_epi16(high, 8);
  }
  AQE_TARGET static void store_wide(const Wide& wide, uint16_t* to) {
    const __m256i low = _mm256_unpacklo_epi16(first(wide), wide.second);
    const __m256i high = _mm256_unpackhi_epi16(first(wide), wide.second);
    store(to, _mm256_permute2x128_si256(low, high, 0x20));
    store(to + 16, _mm256_permute2x128_si256(low, high, 0x31));
  }
  AQE_TARGET static Bytes add_passed(Bytes passes, Bytes bytes, Bytes threshold,
                                     Bytes bit) {
    const Bytes passed =
        _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, threshold), bytes);
    return add(passes, passed & bit);
  }

  template <int kPlace>
  AQE_TARGET static Part pick(Part part, int bit, uint8_t mask) {
    const Part picked = _mm_srl_epi16(part, _mm_cvtsi32_si128(bit)) &
                        _mm_set1_epi8(static_cast<char>(mask));
    return _mm_slli_epi16(picked, kPlace);
  }
  template <int kBits, class Word>
  AQE_TARGET static void slice(const Word* words, int64_t stride, int64_t count,
                               int indices, uint8_t* to, int64_t step) {
    lookup::slice_words<Avx2Lookup, kBits>(words, stride, count, indices, to,
                                           step);
  }
};

// Where planes or products of bytes do not take less: they have fuller words
// or registers of long sums.
bool is_worthwhile(const Layer& layer) {
  const int64_t products = layer.weights_per_output();
  if (!lookup::fills_registers<Avx2Lookup>(layer)) return false;
  if (layer.groups > 1) return true;
  switch (layer.input) {
    case Type::kPacked1:
      return layer.weight_bits > 1 || products <= 1024;
    case Type::kPacked2:
      return layer.weight_bits > 2 || products <= 512;
    default:
      return products <= 160 || (products <= 512 && layer.out_channels <= 32);
  }
}

}  // namespace

extern constexpr Kernel kConvLookupAvx2 =
    lookup::ConvKernel<Avx2Lookup>::kernel("conv_2d_lookup_avx2", kAvx2,
                                           is_worthwhile);

}  // namespace aqe
