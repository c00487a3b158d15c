// What the AVX-512 kernels share: how codes come in, and the output stage for
// 64 sums of one pixel.
#pragma once

#include <immintrin.h>

#include <algorithm>

#define AQE_AVX512                                        \
  __attribute__((                                         \
      target("avx2,fma,popcnt,avx512f,avx512bw,avx512dq," \
             "avx512vl")))
#define AQE_TARGET AQE_AVX512
#include "kernels/x86/dot.h"

namespace aqe {
namespace {

constexpr int kLanes = 16;  // sums of one register

inline uint16_t lanes(int count) {
  return count >= kLanes
             ? 0xffff
             : static_cast<uint16_t>((1u << std::max(count, 0)) - 1);
}

struct Avx512;

// The vectors of one accumulator type.
struct Int32Lanes {
  using Set = Avx512;
  using Acc = int32_t;
  using Vector = __m512i;

  AQE_AVX512 static Vector load(const int32_t* acc) {
    return _mm512_loadu_si512(acc);
  }
  AQE_AVX512 static Vector max(Vector a, Vector b) {
    return _mm512_max_epi32(a, b);
  }
  AQE_AVX512 static Vector negate(Vector a, __mmask16 lanes) {
    return _mm512_mask_sub_epi32(a, lanes, _mm512_setzero_si512(), a);
  }
  AQE_AVX512 static __mmask16 passes(__mmask16 lanes, Vector a,
                                     const Layer& layer, int64_t first) {
    return _mm512_mask_cmpge_epi32_mask(
        lanes, a, _mm512_maskz_loadu_epi32(lanes, layer.thresholds + first));
  }
  AQE_AVX512 static __mmask16 passes(__mmask16 lanes, Vector a,
                                     const Layer& layer, __m512i index) {
    return _mm512_mask_cmpge_epi32_mask(
        lanes, a,
        _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), lanes, index,
                                    layer.thresholds, 4));
  }
  AQE_AVX512 static __m512 real(Vector a) { return _mm512_cvtepi32_ps(a); }
  AQE_AVX512 static void store(int32_t* acc, Vector a) {
    _mm512_store_si512(acc, a);
  }
};

struct FloatLanes {
  using Set = Avx512;
  using Acc = float;
  using Vector = __m512;

  AQE_AVX512 static Vector load(const float* acc) {
    return _mm512_loadu_ps(acc);
  }
  // Greater or, of an unordered pair, the second: what `a > best` keeps.
  AQE_AVX512 static Vector max(Vector a, Vector best) {
    return _mm512_max_ps(a, best);
  }
  AQE_AVX512 static Vector negate(Vector a, __mmask16 lanes) {
    return _mm512_mask_xor_ps(a, lanes, a, _mm512_set1_ps(-0.0f));
  }
  AQE_AVX512 static __mmask16 passes(__mmask16 lanes, Vector a,
                                     const Layer& layer, int64_t first) {
    return _mm512_mask_cmp_ps_mask(
        lanes, a, _mm512_maskz_loadu_ps(lanes, layer.float_thresholds + first),
        _CMP_GE_OQ);
  }
  AQE_AVX512 static __mmask16 passes(__mmask16 lanes, Vector a,
                                     const Layer& layer, __m512i index) {
    return _mm512_mask_cmp_ps_mask(
        lanes, a,
        _mm512_mask_i32gather_ps(_mm512_setzero_ps(), lanes, index,
                                 layer.float_thresholds, 4),
        _CMP_GE_OQ);
  }
  AQE_AVX512 static __m512 real(Vector a) { return a; }
  AQE_AVX512 static void store(float* acc, Vector a) {
    _mm512_store_ps(acc, a);
  }
};

inline __mmask64 first_bytes(int count) {
  return count >= 64 ? ~0ull : (1ull << count) - 1;
}

// Bit i: the direction of channel first + i is -1.
AQE_AVX512 inline uint64_t negative_directions(const Layer& layer, int first,
                                               int count) {
  return _mm512_movepi8_mask(
      _mm512_maskz_loadu_epi8(first_bytes(count), layer.direction + first));
}

struct Avx512 {
  // Copies so many 32-bit words.
  AQE_AVX512 static void copy_words(const void* from, int64_t count, void* to) {
    const auto* words = static_cast<const int32_t*>(from);
    auto* copy = static_cast<int32_t*>(to);
    if (count < kLanes) {
      const __mmask16 some = lanes(static_cast<int>(count));
      _mm512_mask_storeu_epi32(copy, some,
                               _mm512_maskz_loadu_epi32(some, words));
      return;
    }
    // The last register overlaps the one before.
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t at = std::min(i, count - kLanes);
      _mm512_storeu_si512(copy + at, _mm512_loadu_si512(words + at));
    }
  }

  // The bytes of one pixel of codes, and 0 up to a multiple of four: there are
  // weights that have no 0.
  AQE_AVX512 static void decode_pixel(Type input, const char* pixel,
                                      int channels, char* to) {
    if (input == Type::kInt8) {
      for (int c = 0; c < channels; c += 64) {
        const __mmask64 valid = first_bytes(channels - c);
        const __m512i codes = _mm512_maskz_loadu_epi8(valid, pixel + c);
        _mm512_mask_storeu_epi8(
            to + c, first_bytes(static_cast<int>(round_up(channels, 4)) - c),
            _mm512_maskz_add_epi8(valid, codes,
                                  _mm512_set1_epi8(static_cast<char>(0x80))));
      }
      return;
    }
    const int planes = bits(input);
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_load_si128(reinterpret_cast<const __m128i*>(byte_table(input))));
    const auto* group = reinterpret_cast<const uint64_t*>(pixel);
    for (int c = 0; c < channels; c += 64, group += planes) {
      __m512i number = _mm512_setzero_si512();
      for (int p = 0; p < planes; ++p)
        number =
            _mm512_mask_add_epi8(number, group[p], number,
                                 _mm512_set1_epi8(static_cast<char>(1 << p)));
      _mm512_mask_storeu_epi8(
          to + c, first_bytes(static_cast<int>(round_up(channels, 4)) - c),
          _mm512_maskz_shuffle_epi8(first_bytes(channels - c), table, number));
    }
  }

  template <class Lanes>
  AQE_AVX512 static void max(const typename Lanes::Acc* acc, int rows,
                             int stride, int columns,
                             typename Lanes::Acc* best) {
    for (int i = 0; i < kBlock; i += kLanes) {
      auto most = Lanes::load(acc + i);
      for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x)
          most =
              Lanes::max(Lanes::load(acc + y * stride + x * kBlock + i), most);
      }
      Lanes::store(best + i, most);
    }
  }

  // acc += plus0 + plus1 - minus0 - minus1 - minus2, 64 sums each.
  AQE_AVX512 static void combine(const int32_t* plus0, const int32_t* plus1,
                                 const int32_t* minus0, const int32_t* minus1,
                                 const int32_t* minus2, int32_t* acc) {
    using L = Int32Lanes;
    for (int i = 0; i < kBlock; i += kLanes) {
      const auto plus =
          _mm512_add_epi32(L::load(plus0 + i), L::load(plus1 + i));
      const auto minus = _mm512_add_epi32(
          _mm512_add_epi32(L::load(minus0 + i), L::load(minus1 + i)),
          L::load(minus2 + i));
      L::store(acc + i, _mm512_sub_epi32(
                            _mm512_add_epi32(L::load(acc + i), plus), minus));
    }
  }

  // Bit i of passes[k]: channel first + i passes threshold k.
  template <class Lanes, int kBits>
  AQE_AVX512 static void pass(const Layer& layer,
                              const typename Lanes::Acc* acc, int first,
                              int count, uint64_t* passes) {
    constexpr int levels = threshold_count(static_cast<Type>(kBits));
    const uint64_t negative = negative_directions(layer, first, count);
    if (negative == 0 && count == kBlock) {
      for (int k = 0; k < levels; ++k) {
        const int64_t at = int64_t{k} * layer.out_channels + first;
        __mmask16 parts[kBlock / kLanes];
#pragma GCC unroll 4
        for (int i = 0; i < kBlock / kLanes; ++i)
          parts[i] = Lanes::passes(0xffff, Lanes::load(acc + i * kLanes), layer,
                                   at + i * kLanes);
        passes[k] = _cvtmask64_u64(
            _mm512_kunpackd(_mm512_kunpackw(parts[3], parts[2]),
                            _mm512_kunpackw(parts[1], parts[0])));
      }
      return;
    }
    for (int i = 0; i < count; i += kLanes) {
      const __mmask16 valid = lanes(count - i);
      const auto value = Lanes::negate(Lanes::load(acc + i),
                                       static_cast<__mmask16>(negative >> i));
      for (int k = 0; k < levels; ++k) {
        passes[k] |=
            uint64_t{Lanes::passes(valid, value, layer,
                                   int64_t{k} * layer.out_channels + first + i)}
            << i;
      }
    }
  }

  // The number of thresholds passed by binary search.
  template <class Lanes>
  AQE_AVX512 static void store_int8(const Layer& layer,
                                    const typename Lanes::Acc* acc, int first,
                                    int count, int8_t* out) {
    const uint64_t negative = negative_directions(layer, first, count);
    const __m512i channels = _mm512_set1_epi32(layer.out_channels);
    const __m512i lane =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (int i = 0; i < count; i += kLanes) {
      const __mmask16 valid = lanes(count - i);
      const auto value = Lanes::negate(Lanes::load(acc + i),
                                       static_cast<__mmask16>(negative >> i));
      const __m512i channel =
          _mm512_add_epi32(_mm512_set1_epi32(first + i), lane);
      __m512i index = _mm512_setzero_si512();
      for (int step = 128; step > 0; step /= 2) {
        const __m512i k = _mm512_add_epi32(index, _mm512_set1_epi32(step - 1));
        const __mmask16 pass = Lanes::passes(
            valid, value, layer,
            _mm512_add_epi32(_mm512_mullo_epi32(k, channels), channel));
        index =
            _mm512_mask_add_epi32(index, pass, index, _mm512_set1_epi32(step));
      }
      _mm512_mask_cvtepi32_storeu_epi8(
          out + i, valid, _mm512_sub_epi32(index, _mm512_set1_epi32(128)));
    }
  }

  template <class Lanes>
  AQE_AVX512 static __m512 scaled(const Layer& layer,
                                  const typename Lanes::Acc* acc, int channel,
                                  __mmask16 valid) {
    __m512 real = Lanes::real(Lanes::load(acc));
    if (layer.offset != nullptr)
      real = _mm512_add_ps(
          real, _mm512_maskz_loadu_ps(valid, layer.offset + channel));
    const __m512 product = _mm512_mul_ps(
        real, _mm512_maskz_loadu_ps(valid, layer.scale + channel));
    return _mm512_add_ps(product,
                         _mm512_maskz_loadu_ps(valid, layer.bias + channel));
  }

  template <class Lanes>
  AQE_AVX512 static void store_real(const Layer& layer,
                                    const typename Lanes::Acc* acc, int first,
                                    int count, float* out) {
    for (int i = 0; i < count; i += kLanes) {
      const __mmask16 valid = lanes(count - i);
      _mm512_mask_storeu_ps(out + i, valid,
                            scaled<Lanes>(layer, acc + i, first + i, valid));
    }
  }

  template <class Lanes>
  AQE_AVX512 static void store_nearest(const Layer& layer,
                                       const typename Lanes::Acc* acc,
                                       int first, int count, int8_t* out) {
    for (int i = 0; i < count; i += kLanes) {
      const __mmask16 valid = lanes(count - i);
      const __m512 value = scaled<Lanes>(layer, acc + i, first + i, valid);
      const __m512 limited = _mm512_min_ps(
          _mm512_max_ps(value, _mm512_set1_ps(-128)), _mm512_set1_ps(127));
      _mm512_mask_cvtepi32_storeu_epi8(
          out + i, valid,
          _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(value, value, _CMP_ORD_Q),
                                   limited));
    }
  }
};

}  // namespace
}  // namespace aqe
