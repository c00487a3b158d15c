// What the AVX2 kernels share: how codes come in, and the output stage for 64
// sums of one pixel.
#pragma once

#include <immintrin.h>

#include <algorithm>

#define AQE_AVX2 __attribute__((target("avx2,fma,bmi2,popcnt")))
#define AQE_TARGET AQE_AVX2
#include "kernels/x86/dot.h"

namespace aqe {
namespace {

constexpr int kLanes = 8;   // sums of one register
constexpr int kBytes = 32;  // of one register

// The first lanes, as many as there are channels.
struct Valid {
  __m256i mask;
  uint64_t bits;

  AQE_AVX2 explicit Valid(int count)
      : mask(_mm256_cmpgt_epi32(_mm256_set1_epi32(count),
                                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))),
        bits(count >= kLanes ? 0xff : (1u << std::max(count, 0)) - 1) {}
};

AQE_AVX2 inline uint64_t bits_of(__m256i mask) {
  return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(mask)));
}

struct Avx2;

// The vectors of one accumulator type.
struct Int32Lanes {
  using Set = Avx2;
  using Acc = int32_t;
  using Vector = __m256i;

  AQE_AVX2 static Vector load(const int32_t* acc) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc));
  }
  AQE_AVX2 static Vector max(Vector a, Vector b) {
    return _mm256_max_epi32(a, b);
  }
  AQE_AVX2 static Vector times(Vector a, Vector direction) {
    return _mm256_sign_epi32(a, direction);
  }
  AQE_AVX2 static __m256i fails(Vector a, const Layer& layer, int64_t first,
                                const Valid& valid) {
    return _mm256_cmpgt_epi32(
        _mm256_maskload_epi32(layer.thresholds + first, valid.mask), a);
  }
  AQE_AVX2 static __m256i fails(Vector a, const Layer& layer, __m256i index,
                                const Valid& valid) {
    return _mm256_cmpgt_epi32(
        _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), layer.thresholds,
                                    index, valid.mask, 4),
        a);
  }
  AQE_AVX2 static __m256 real(Vector a) { return _mm256_cvtepi32_ps(a); }
  AQE_AVX2 static void store(int32_t* acc, Vector a) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(acc), a);
  }
};

struct FloatLanes {
  using Set = Avx2;
  using Acc = float;
  using Vector = __m256;

  AQE_AVX2 static Vector load(const float* acc) { return _mm256_loadu_ps(acc); }
  // Greater or, of an unordered pair, the second: what `a > best` keeps.
  AQE_AVX2 static Vector max(Vector a, Vector best) {
    return _mm256_max_ps(a, best);
  }
  AQE_AVX2 static Vector times(Vector a, __m256i direction) {
    return _mm256_mul_ps(a, _mm256_cvtepi32_ps(direction));
  }
  AQE_AVX2 static __m256i fails(Vector a, const Layer& layer, int64_t first,
                                const Valid& valid) {
    return _mm256_castps_si256(_mm256_cmp_ps(
        a, _mm256_maskload_ps(layer.float_thresholds + first, valid.mask),
        _CMP_NGE_UQ));
  }
  AQE_AVX2 static __m256i fails(Vector a, const Layer& layer, __m256i index,
                                const Valid& valid) {
    return _mm256_castps_si256(_mm256_cmp_ps(
        a,
        _mm256_mask_i32gather_ps(_mm256_setzero_ps(), layer.float_thresholds,
                                 index, _mm256_castsi256_ps(valid.mask), 4),
        _CMP_NGE_UQ));
  }
  AQE_AVX2 static __m256 real(Vector a) { return a; }
  AQE_AVX2 static void store(float* acc, Vector a) { _mm256_store_ps(acc, a); }
};

// Bit i of `word` as a byte of all ones or zeros.
AQE_AVX2 inline __m256i bytes_of_bits(uint32_t word) {
  const __m256i source =
      _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2,
                       2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit =
      _mm256_set1_epi64x(static_cast<int64_t>(uint64_t{0x8040201008040201}));
  const __m256i bytes = _mm256_shuffle_epi8(
      _mm256_set1_epi32(static_cast<int32_t>(word)), source);
  return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
}

// The bytes of the lanes below `count`, and 0.
AQE_AVX2 inline __m256i first_bytes(__m256i bytes, int count) {
  if (count >= kBytes) return bytes;
  const uint32_t valid = (1u << std::max(count, 0)) - 1;
  return _mm256_and_si256(bytes, bytes_of_bits(valid));
}

// The directions of eight channels, of which the last may not exist.
AQE_AVX2 inline __m256i load_directions(const Layer& layer, int first,
                                        int count) {
  uint64_t bytes = 0;
  if (count >= kLanes) {
    std::memcpy(&bytes, layer.direction + first, sizeof bytes);
  } else {
    std::memcpy(&bytes, layer.direction + first, count);
  }
  return _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)));
}

struct Avx2 {
  // Copies so many 32-bit words.
  AQE_AVX2 static void copy_words(const void* from, int64_t count, void* to) {
    for (int64_t i = 0; i < count; i += kLanes) {
      const Valid valid(static_cast<int>(std::min<int64_t>(count - i, kLanes)));
      _mm256_maskstore_epi32(
          static_cast<int32_t*>(to) + i, valid.mask,
          _mm256_maskload_epi32(static_cast<const int32_t*>(from) + i,
                                valid.mask));
    }
  }

  AQE_AVX2 static void decode_pixel(Type input, const char* pixel, int channels,
                                    char* to) {
    const int padded = static_cast<int>(round_up(channels, 4));
    if (input == Type::kInt8) {
      for (int c = 0; c < channels; ++c)
        to[c] = static_cast<char>(pixel[c] ^ 0x80);
      std::fill(to + channels, to + padded, char{0});
      return;
    }
    const int planes = bits(input);
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(byte_table(input))));
    const auto* words = reinterpret_cast<const uint64_t*>(pixel);
    for (int c = 0; c < padded; c += kBytes) {
      const uint64_t* group = words + int64_t{c / 64} * planes;
      __m256i number = _mm256_setzero_si256();
      for (int p = 0; p < planes; ++p) {
        number = _mm256_or_si256(
            number,
            _mm256_and_si256(
                bytes_of_bits(static_cast<uint32_t>(group[p] >> c % 64)),
                _mm256_set1_epi8(static_cast<char>(1 << p))));
      }
      _mm256_storeu_si256(
          reinterpret_cast<__m256i*>(to + c),
          first_bytes(_mm256_shuffle_epi8(table, number), channels - c));
    }
  }

  template <class Lanes>
  AQE_AVX2 static void max(const typename Lanes::Acc* acc, int rows, int stride,
                           int columns, typename Lanes::Acc* best) {
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
  AQE_AVX2 static void combine(const int32_t* plus0, const int32_t* plus1,
                               const int32_t* minus0, const int32_t* minus1,
                               const int32_t* minus2, int32_t* acc) {
    using L = Int32Lanes;
    for (int i = 0; i < kBlock; i += kLanes) {
      const auto plus =
          _mm256_add_epi32(L::load(plus0 + i), L::load(plus1 + i));
      const auto minus = _mm256_add_epi32(
          _mm256_add_epi32(L::load(minus0 + i), L::load(minus1 + i)),
          L::load(minus2 + i));
      L::store(acc + i, _mm256_sub_epi32(
                            _mm256_add_epi32(L::load(acc + i), plus), minus));
    }
  }

  // Bit i of passes[k]: channel first + i passes threshold k.
  template <class Lanes, int kBits>
  AQE_AVX2 static void pass(const Layer& layer, const typename Lanes::Acc* acc,
                            int first, int count, uint64_t* passes) {
    constexpr int levels = threshold_count(static_cast<Type>(kBits));
    for (int i = 0; i < count; i += kLanes) {
      const Valid valid(count - i);
      const auto value = Lanes::times(
          Lanes::load(acc + i), load_directions(layer, first + i, count - i));
      for (int k = 0; k < levels; ++k) {
        const __m256i fails = Lanes::fails(
            value, layer, int64_t{k} * layer.out_channels + first + i, valid);
        passes[k] |= (valid.bits & ~bits_of(fails)) << i;
      }
    }
  }

  // The number of thresholds passed by binary search.
  template <class Lanes>
  AQE_AVX2 static void store_int8(const Layer& layer,
                                  const typename Lanes::Acc* acc, int first,
                                  int count, int8_t* out) {
    const __m256i channels = _mm256_set1_epi32(layer.out_channels);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int i = 0; i < count; i += kLanes) {
      const Valid valid(count - i);
      const auto value = Lanes::times(
          Lanes::load(acc + i), load_directions(layer, first + i, count - i));
      const __m256i channel =
          _mm256_add_epi32(_mm256_set1_epi32(first + i), lane);
      __m256i index = _mm256_setzero_si256();
      for (int step = 128; step > 0; step /= 2) {
        const __m256i k = _mm256_add_epi32(index, _mm256_set1_epi32(step - 1));
        const __m256i fails = Lanes::fails(
            value, layer,
            _mm256_add_epi32(_mm256_mullo_epi32(k, channels), channel), valid);
        index = _mm256_add_epi32(
            index, _mm256_andnot_si256(fails, _mm256_set1_epi32(step)));
      }
      store_codes(_mm256_sub_epi32(index, _mm256_set1_epi32(128)), count - i,
                  out + i);
    }
  }

  template <class Lanes>
  AQE_AVX2 static __m256 scaled(const Layer& layer,
                                const typename Lanes::Acc* acc, int channel,
                                const Valid& valid) {
    __m256 real = Lanes::real(Lanes::load(acc));
    if (layer.offset != nullptr)
      real = _mm256_add_ps(
          real, _mm256_maskload_ps(layer.offset + channel, valid.mask));
    const __m256 product = _mm256_mul_ps(
        real, _mm256_maskload_ps(layer.scale + channel, valid.mask));
    return _mm256_add_ps(product,
                         _mm256_maskload_ps(layer.bias + channel, valid.mask));
  }

  template <class Lanes>
  AQE_AVX2 static void store_real(const Layer& layer,
                                  const typename Lanes::Acc* acc, int first,
                                  int count, float* out) {
    for (int i = 0; i < count; i += kLanes) {
      const Valid valid(count - i);
      _mm256_maskstore_ps(out + i, valid.mask,
                          scaled<Lanes>(layer, acc + i, first + i, valid));
    }
  }

  template <class Lanes>
  AQE_AVX2 static void store_nearest(const Layer& layer,
                                     const typename Lanes::Acc* acc, int first,
                                     int count, int8_t* out) {
    for (int i = 0; i < count; i += kLanes) {
      const __m256 value =
          scaled<Lanes>(layer, acc + i, first + i, Valid(count - i));
      const __m256 limited = _mm256_min_ps(
          _mm256_max_ps(value, _mm256_set1_ps(-128)), _mm256_set1_ps(127));
      const __m256 is_number = _mm256_cmp_ps(value, value, _CMP_ORD_Q);
      store_codes(_mm256_and_si256(_mm256_cvtps_epi32(limited),
                                   _mm256_castps_si256(is_number)),
                  count - i, out + i);
    }
  }

 private:
  // Eight int32 as bytes, the first `count` of them if there are more.
  AQE_AVX2 static void store_codes(__m256i codes, int count, int8_t* out) {
    alignas(32) int32_t numbers[kLanes];
    Int32Lanes::store(numbers, codes);
    for (int i = 0; i < std::min(kLanes, count); ++i)
      out[i] = static_cast<int8_t>(numbers[i]);
  }
};

}  // namespace
}  // namespace aqe
