// The vectors of AVX-512, for the loops that all instruction sets share. Comes
// before their headers. AQE_BEYOND, where it is defined before, names further
// instructions for all of a file: ",avx512vnni".
#pragma once

#include <immintrin.h>

#include <algorithm>

#include "keras_aqe/layer.h"
#include "kernels/loops/blocks.h"
#include "kernels/x86/bytes.h"

#ifndef AQE_BEYOND
#define AQE_BEYOND
#endif
#define AQE_TARGET       \
  __attribute__((target( \
      "avx2,fma,popcnt,avx512f,avx512bw,avx512dq,avx512vl" AQE_BEYOND)))

namespace aqe {
namespace {

constexpr int kLanes = 16;  // sums of a register
constexpr int kBytes = 64;  // of a register

inline __mmask16 first_lanes(int count) {
  return count >= kLanes
             ? 0xffff
             : static_cast<uint16_t>((1u << std::max(count, 0)) - 1);
}

inline __mmask64 first_bytes(int count) {
  return count >= kBytes ? ~0ull : (1ull << count) - 1;
}

struct Avx512 {
  struct Some {
    __mmask16 mask;

    explicit Some(int count) : mask(first_lanes(count)) {}
  };

  AQE_TARGET static __m512i set(int value) { return _mm512_set1_epi32(value); }
  AQE_TARGET static __m512i lane_numbers() {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                             15);
  }
  AQE_TARGET static __m512i load(const Some& some, const int32_t* from) {
    return _mm512_maskz_loadu_epi32(some.mask, from);
  }
  AQE_TARGET static __m512 load(const Some& some, const float* from) {
    return _mm512_maskz_loadu_ps(some.mask, from);
  }
  AQE_TARGET static __m512i gather(const Some& some, const int32_t* from,
                                   __m512i at) {
    return _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), some.mask, at,
                                       from, 4);
  }
  AQE_TARGET static __m512 gather(const Some& some, const float* from,
                                  __m512i at) {
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), some.mask, at, from,
                                    4);
  }
  AQE_TARGET static void store(const Some& some, __m512 values, float* to) {
    _mm512_mask_storeu_ps(to, some.mask, values);
  }
  AQE_TARGET static __m512i add(__m512i a, __m512i b) {
    return _mm512_add_epi32(a, b);
  }
  AQE_TARGET static __m512 add(__m512 a, __m512 b) {
    return _mm512_add_ps(a, b);
  }
  AQE_TARGET static __m512i subtract(__m512i a, __m512i b) {
    return _mm512_sub_epi32(a, b);
  }
  AQE_TARGET static __m512i multiply(__m512i a, __m512i b) {
    return _mm512_mullo_epi32(a, b);
  }
  AQE_TARGET static __m512 multiply(__m512 a, __m512 b) {
    return _mm512_mul_ps(a, b);
  }

  // The lanes that pass, of some.
  using Compared = __mmask16;

  static uint64_t bits(const Some&, Compared passes) { return passes; }
  // Of all lanes of a block.
  AQE_TARGET static uint64_t block_bits(const Compared* passes) {
    return _cvtmask64_u64(
        _mm512_kunpackd(_mm512_kunpackw(passes[3], passes[2]),
                        _mm512_kunpackw(passes[1], passes[0])));
  }
  AQE_TARGET static __m512i add_passed(__m512i index, Compared passes,
                                       int step) {
    return _mm512_mask_add_epi32(index, passes, index, set(step));
  }

  // 1 or -1 for each channel of a block.
  class Directions {
   public:
    AQE_TARGET Directions(const Layer& layer, int first, int count)
        : negative_(_mm512_movepi8_mask(_mm512_maskz_loadu_epi8(
              first_bytes(count), layer.direction + first))) {}

    bool has_negative() const { return negative_ != 0; }
    uint64_t negative() const { return negative_; }
    // Of the channels from i on: which are negative.
    __mmask16 at(int i) const { return static_cast<__mmask16>(negative_ >> i); }

   private:
    uint64_t negative_;
  };

  // See kernels/x86/quantize_parts.h. Eight pixels at a time.
  class PixelBits {
   public:
    AQE_TARGET PixelBits(int step, int first, int count, int place)
        : step_(step),
          start_(first / 8),
          kept_(_mm512_set1_epi64(((int64_t{1} << count) - 1) << place)) {
      const __m512i bit = _mm512_add_epi64(
          _mm512_mullo_epi64(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7),
                             _mm512_set1_epi64(step)),
          _mm512_set1_epi64(first % 8));
      const int unit = step > kMostStep ? 8 : 16;
      from_ = _mm512_srli_epi64(bit, unit == 8 ? 3 : 4);
      if (unit == 16) {
        // Four words that follow each other.
        from_ = _mm512_add_epi64(
            _mm512_mullo_epi64(from_, _mm512_set1_epi64(0x0001000100010001)),
            _mm512_set1_epi64(0x0003000200010000));
      }
      down_ =
          _mm512_sub_epi64(_mm512_and_si512(bit, _mm512_set1_epi64(unit - 1)),
                           _mm512_set1_epi64(place));
    }

    AQE_TARGET void add(const char* stream, int pixels, uint64_t* words) const {
      constexpr int kFirstOrBoth = 0xf8;  // of the second and third
      stream += start_;
      for (int i = 0; i < pixels; i += kPixels, stream += step_) {
        const __m512i own = _mm512_rorv_epi64(eight(stream), down_);
        _mm512_storeu_si512(
            words + i, _mm512_ternarylogic_epi64(_mm512_loadu_si512(words + i),
                                                 own, kept_, kFirstOrBoth));
      }
    }

   private:
    // Bits of which eight pixels fit a register.
    static constexpr int kMostStep = 64, kPixels = 8;

    // Of each pixel 64 bits in which its own are.
    AQE_TARGET __m512i eight(const char* stream) const {
      if (step_ > kMostStep) return _mm512_i64gather_epi64(from_, stream, 1);
      // Half a register crosses cache lines less often.
      const __m512i bytes = step_ < kMostStep / 2
                                ? _mm512_castsi256_si512(_mm256_loadu_si256(
                                      reinterpret_cast<const __m256i*>(stream)))
                                : _mm512_loadu_si512(stream);
      return _mm512_permutexvar_epi16(from_, bytes);
    }

    int step_, start_;
    __m512i kept_, from_, down_;
  };

  // To the nearest code, ties to even; 0 for not a number.
  AQE_TARGET static __m512i nearest_codes(__m512 values) {
    const __m512 limited = _mm512_min_ps(
        _mm512_max_ps(values, _mm512_set1_ps(-128)), _mm512_set1_ps(127));
    return _mm512_maskz_cvtps_epi32(
        _mm512_cmp_ps_mask(values, values, _CMP_ORD_Q), limited);
  }

  // The first `count` lanes, if there are more, as bytes.
  AQE_TARGET static void store_bytes(int count, __m512i lanes, int8_t* to) {
    _mm512_mask_cvtepi32_storeu_epi8(to, first_lanes(count), lanes);
  }

  // Copies so many 32-bit words.
  AQE_TARGET static void copy_words(const void* from, int64_t count, void* to) {
    const auto* words = static_cast<const int32_t*>(from);
    auto* copy = static_cast<int32_t*>(to);
    if (count < kLanes) {
      const Some some(static_cast<int>(count));
      _mm512_mask_storeu_epi32(copy, some.mask, load(some, words));
      return;
    }
    // The last register overlaps the one before.
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t at = std::min(i, count - kLanes);
      _mm512_storeu_si512(copy + at, _mm512_loadu_si512(words + at));
    }
  }

  // The bytes of pixels of codes, and 0 up to a multiple of four: there are
  // weights that have no 0.
  AQE_TARGET static void decode_pixels(Type input, const char* pixels,
                                       int64_t step, int64_t count,
                                       int channels, char* to,
                                       int64_t to_step) {
    switch (input) {
      case Type::kPacked1:
        return decode_planes<1>(pixels, step, count, channels, to, to_step);
      case Type::kPacked2:
        return decode_planes<2>(pixels, step, count, channels, to, to_step);
      case Type::kPacked3:
        return decode_planes<3>(pixels, step, count, channels, to, to_step);
      case Type::kPacked4:
        return decode_planes<4>(pixels, step, count, channels, to, to_step);
      default:
        break;
    }
    const __m512i raise = _mm512_set1_epi8(static_cast<char>(0x80));
    for (; count > 0; --count, pixels += step, to += to_step) {
      for (int c = 0; c < channels; c += kBlock) {
        const __mmask64 valid = first_bytes(channels - c);
        const __m512i codes = _mm512_maskz_loadu_epi8(valid, pixels + c);
        store_padded(_mm512_maskz_add_epi8(valid, codes, raise), channels - c,
                     to + c);
      }
    }
  }

 private:
  template <int kBits>
  AQE_TARGET static void decode_planes(const char* pixels, int64_t step,
                                       int64_t count, int channels, char* to,
                                       int64_t to_step) {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(
            byte_table(static_cast<Type>(kBits)))));
    for (; count > 0; --count, pixels += step, to += to_step) {
      const auto* group = reinterpret_cast<const uint64_t*>(pixels);
      for (int c = 0; c < channels; c += kBlock, group += kBits) {
        __m512i number = _mm512_maskz_set1_epi8(group[0], 1);
#pragma GCC unroll 4
        for (int p = 1; p < kBits; ++p) {
          number =
              _mm512_mask_add_epi8(number, group[p], number,
                                   _mm512_set1_epi8(static_cast<char>(1 << p)));
        }
        const __mmask64 valid = first_bytes(channels - c);
        store_padded(_mm512_maskz_shuffle_epi8(valid, table, number),
                     channels - c, to + c);
      }
    }
  }

  // So many bytes and those up to a multiple of four.
  AQE_TARGET static void store_padded(__m512i bytes, int count, char* to) {
    if (count >= kBytes) {
      _mm512_storeu_si512(to, bytes);
      return;
    }
    _mm512_mask_storeu_epi8(
        to, first_bytes(static_cast<int>(round_up(count, 4))), bytes);
  }
};

struct Int32Lanes {
  using Set = Avx512;
  using Acc = int32_t;
  using Vector = __m512i;

  AQE_TARGET static Vector load(const int32_t* acc) {
    return _mm512_loadu_si512(acc);
  }
  AQE_TARGET static void store(int32_t* acc, Vector a) {
    _mm512_store_si512(acc, a);
  }
  AQE_TARGET static Vector max(Vector a, Vector b) {
    return _mm512_max_epi32(a, b);
  }
  AQE_TARGET static Vector turn(Vector a, __mmask16 negative) {
    return _mm512_mask_sub_epi32(a, negative, _mm512_setzero_si512(), a);
  }
  AQE_TARGET static __m512 real(Vector a) { return _mm512_cvtepi32_ps(a); }
  AQE_TARGET static Avx512::Compared compare(const Avx512::Some& some, Vector a,
                                             Vector thresholds) {
    return _mm512_mask_cmpge_epi32_mask(some.mask, a, thresholds);
  }
  AQE_TARGET static Vector select(Avx512::Compared passes, Vector a, Vector b) {
    return _mm512_mask_blend_epi32(passes, b, a);
  }
};

struct FloatLanes {
  using Set = Avx512;
  using Acc = float;
  using Vector = __m512;

  AQE_TARGET static Vector load(const float* acc) {
    return _mm512_loadu_ps(acc);
  }
  AQE_TARGET static void store(float* acc, Vector a) {
    _mm512_store_ps(acc, a);
  }
  // Greater or, of an unordered pair, the second: what `a > best` keeps.
  AQE_TARGET static Vector max(Vector a, Vector best) {
    return _mm512_max_ps(a, best);
  }
  AQE_TARGET static Vector turn(Vector a, __mmask16 negative) {
    return _mm512_mask_xor_ps(a, negative, a, _mm512_set1_ps(-0.0f));
  }
  AQE_TARGET static Vector flip(Vector a, Vector signs) {
    return _mm512_xor_ps(a, signs);
  }
  AQE_TARGET static __m512 real(Vector a) { return a; }
  AQE_TARGET static Avx512::Compared compare(const Avx512::Some& some, Vector a,
                                             Vector thresholds) {
    return _mm512_mask_cmp_ps_mask(some.mask, a, thresholds, _CMP_GE_OQ);
  }
  AQE_TARGET static Vector select(Avx512::Compared passes, Vector a, Vector b) {
    return _mm512_mask_blend_ps(passes, b, a);
  }
  AQE_TARGET static Vector all(float value) { return _mm512_set1_ps(value); }
  // Of an unordered pair both give the second.
  AQE_TARGET static Vector limit(Vector a, Vector low, Vector high) {
    return _mm512_min_ps(high, _mm512_max_ps(low, a));
  }
};

}  // namespace
}  // namespace aqe
