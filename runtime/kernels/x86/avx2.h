// The vectors of AVX2, for the loops that all instruction sets share. Comes
// before their headers.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "keras_aqe/layer.h"
#include "kernels/loops/blocks.h"
#include "kernels/x86/bytes.h"

#define AQE_TARGET __attribute__((target("avx2,fma,bmi2,popcnt")))

namespace aqe {
namespace {

constexpr int kLanes = 8;   // sums of a register
constexpr int kBytes = 32;  // of a register

// Bit i of `word` as a byte of all ones or zeros.
AQE_TARGET inline __m256i bytes_of_bits(uint32_t word) {
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
AQE_TARGET inline __m256i first_bytes(__m256i bytes, int count) {
  if (count >= kBytes) return bytes;
  const uint32_t valid = (1u << std::max(count, 0)) - 1;
  return _mm256_and_si256(bytes, bytes_of_bits(valid));
}

struct Avx2 {
  struct Some {
    __m256i mask;
    uint64_t bits;

    AQE_TARGET explicit Some(int count)
        : mask(_mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane_numbers())),
          bits(count >= kLanes ? 0xff : (1u << std::max(count, 0)) - 1) {}
  };

  AQE_TARGET static __m256i set(int value) { return _mm256_set1_epi32(value); }
  AQE_TARGET static __m256i lane_numbers() {
    return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  }
  AQE_TARGET static __m256i load(const Some& some, const int32_t* from) {
    return _mm256_maskload_epi32(from, some.mask);
  }
  AQE_TARGET static __m256 load(const Some& some, const float* from) {
    return _mm256_maskload_ps(from, some.mask);
  }
  AQE_TARGET static __m256i gather(const Some& some, const int32_t* from,
                                   __m256i at) {
    return _mm256_mask_i32gather_epi32(_mm256_setzero_si256(), from, at,
                                       some.mask, 4);
  }
  AQE_TARGET static __m256 gather(const Some& some, const float* from,
                                  __m256i at) {
    return _mm256_mask_i32gather_ps(_mm256_setzero_ps(), from, at,
                                    _mm256_castsi256_ps(some.mask), 4);
  }
  // Stores with a mask take many cycles on AMD's CPUs.
  AQE_TARGET static void store(const Some& some, __m256 values, float* to) {
    if (some.bits == 0xff) {
      _mm256_storeu_ps(to, values);
    } else {
      _mm256_maskstore_ps(to, some.mask, values);
    }
  }
  AQE_TARGET static __m256i add(__m256i a, __m256i b) {
    return _mm256_add_epi32(a, b);
  }
  AQE_TARGET static __m256 add(__m256 a, __m256 b) {
    return _mm256_add_ps(a, b);
  }
  AQE_TARGET static __m256i subtract(__m256i a, __m256i b) {
    return _mm256_sub_epi32(a, b);
  }
  AQE_TARGET static __m256i multiply(__m256i a, __m256i b) {
    return _mm256_mullo_epi32(a, b);
  }
  AQE_TARGET static __m256 multiply(__m256 a, __m256 b) {
    return _mm256_mul_ps(a, b);
  }

  // Ones in the lanes that fail, since that is what can be compared.
  using Compared = __m256i;

  AQE_TARGET static uint64_t bits(const Some& some, Compared fails) {
    return some.bits & ~uint64_t{static_cast<unsigned>(
                           _mm256_movemask_ps(_mm256_castsi256_ps(fails)))};
  }
  // Of all lanes of a block.
  AQE_TARGET static uint64_t block_bits(const Compared* fails) {
    uint64_t passed = 0;
    for (int i = 0; i < kBlock / kLanes; ++i)
      passed |= bits(Some(kLanes), fails[i]) << i * kLanes;
    return passed;
  }
  AQE_TARGET static __m256i add_passed(__m256i index, Compared fails,
                                       int step) {
    return add(index, _mm256_andnot_si256(fails, set(step)));
  }

  // 1 or -1 for each channel of a block.
  class Directions {
   public:
    Directions(const Layer& layer, int first, int count)
        : directions_(layer.direction + first), count_(count) {}

    AQE_TARGET bool has_negative() const {
      const auto half = [&](int i) AQE_TARGET {
        return _mm256_loadu_si256(
            reinterpret_cast<const __m256i*>(directions_ + i));
      };
      return _mm256_movemask_epi8(_mm256_or_si256(half(0), half(kBytes))) != 0;
    }
    // Of the channels from i on, of which the last may not exist.
    AQE_TARGET __m256i at(int i) const {
      uint64_t bytes = 0;
      if (count_ - i >= kLanes) {
        std::memcpy(&bytes, directions_ + i, sizeof bytes);
      } else {
        std::memcpy(&bytes, directions_ + i, count_ - i);
      }
      return _mm256_cvtepi8_epi32(
          _mm_cvtsi64_si128(static_cast<int64_t>(bytes)));
    }

   private:
    const int8_t* directions_;
    int count_;
  };

  // See kernels/x86/quantize_parts.h.
  class PixelBits {
   public:
    PixelBits(int step, int first, int count, int place)
        : step_(step),
          first_(first),
          place_(place),
          kept_((uint64_t{1} << count) - 1) {}

    AQE_TARGET void add(const char* stream, int pixels, uint64_t* words) const {
      for (int i = 0, bit = first_; i < pixels; ++i, bit += step_) {
        uint64_t own;
        std::memcpy(&own, stream + bit / 8, sizeof own);
        words[i] |= (own >> bit % 8 & kept_) << place_;
      }
    }

   private:
    int step_, first_, place_;
    uint64_t kept_;
  };

  // To the nearest code, ties to even; 0 for not a number.
  AQE_TARGET static __m256i nearest_codes(__m256 values) {
    const __m256 limited = _mm256_min_ps(
        _mm256_max_ps(values, _mm256_set1_ps(-128)), _mm256_set1_ps(127));
    const __m256 is_number = _mm256_cmp_ps(values, values, _CMP_ORD_Q);
    return _mm256_and_si256(_mm256_cvtps_epi32(limited),
                            _mm256_castps_si256(is_number));
  }

  // The first `count` lanes, if there are more, as bytes.
  AQE_TARGET static void store_bytes(int count, __m256i lanes, int8_t* to) {
    alignas(32) int32_t numbers[kLanes];
    _mm256_store_si256(reinterpret_cast<__m256i*>(numbers), lanes);
    for (int i = 0; i < std::min(kLanes, count); ++i)
      to[i] = static_cast<int8_t>(numbers[i]);
  }

  // Copies so many 32-bit words.
  AQE_TARGET static void copy_words(const void* from, int64_t count, void* to) {
    const auto* words = static_cast<const int32_t*>(from);
    auto* copy = static_cast<int32_t*>(to);
    for (; count >= kLanes; count -= kLanes, words += kLanes, copy += kLanes) {
      _mm256_storeu_si256(
          reinterpret_cast<__m256i*>(copy),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
    }
    if (count == 0) return;
    const Some some(static_cast<int>(count));
    _mm256_maskstore_epi32(copy, some.mask, load(some, words));
  }

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
    for (; count > 0; --count, pixels += step, to += to_step) {
      for (int c = 0; c < channels; ++c)
        to[c] = static_cast<char>(pixels[c] ^ 0x80);
      std::fill(to + channels, to + round_up(channels, 4), char{0});
    }
  }

 private:
  template <int kBits>
  AQE_TARGET static void decode_planes(const char* pixels, int64_t step,
                                       int64_t count, int channels, char* to,
                                       int64_t to_step) {
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(
            byte_table(static_cast<Type>(kBits)))));
    for (; count > 0; --count, pixels += step, to += to_step) {
      const auto* words = reinterpret_cast<const uint64_t*>(pixels);
      for (int c = 0; c < channels; c += kBytes) {
        const uint64_t* group = words + c / kBlock * kBits;
        __m256i number = _mm256_setzero_si256();
#pragma GCC unroll 4
        for (int p = 0; p < kBits; ++p) {
          number = _mm256_or_si256(
              number,
              _mm256_and_si256(
                  bytes_of_bits(static_cast<uint32_t>(group[p] >> c % kBlock)),
                  _mm256_set1_epi8(static_cast<char>(1 << p))));
        }
        _mm256_storeu_si256(
            reinterpret_cast<__m256i*>(to + c),
            first_bytes(_mm256_shuffle_epi8(table, number), channels - c));
      }
    }
  }
};

struct Int32Lanes {
  using Set = Avx2;
  using Acc = int32_t;
  using Vector = __m256i;

  AQE_TARGET static Vector load(const int32_t* acc) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc));
  }
  AQE_TARGET static void store(int32_t* acc, Vector a) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(acc), a);
  }
  AQE_TARGET static Vector max(Vector a, Vector b) {
    return _mm256_max_epi32(a, b);
  }
  AQE_TARGET static Vector turn(Vector a, __m256i direction) {
    return _mm256_sign_epi32(a, direction);
  }
  AQE_TARGET static __m256 real(Vector a) { return _mm256_cvtepi32_ps(a); }
  AQE_TARGET static Avx2::Compared compare(const Avx2::Some&, Vector a,
                                           Vector thresholds) {
    return _mm256_cmpgt_epi32(thresholds, a);
  }
  AQE_TARGET static Vector select(Avx2::Compared fails, Vector a, Vector b) {
    return _mm256_blendv_epi8(a, b, fails);
  }
};

struct FloatLanes {
  using Set = Avx2;
  using Acc = float;
  using Vector = __m256;

  AQE_TARGET static Vector load(const float* acc) {
    return _mm256_loadu_ps(acc);
  }
  AQE_TARGET static void store(float* acc, Vector a) {
    _mm256_store_ps(acc, a);
  }
  // Greater or, of an unordered pair, the second: what `a > best` keeps.
  AQE_TARGET static Vector max(Vector a, Vector best) {
    return _mm256_max_ps(a, best);
  }
  AQE_TARGET static Vector turn(Vector a, __m256i direction) {
    return _mm256_mul_ps(a, _mm256_cvtepi32_ps(direction));
  }
  AQE_TARGET static Vector flip(Vector a, Vector signs) {
    return _mm256_xor_ps(a, signs);
  }
  AQE_TARGET static __m256 real(Vector a) { return a; }
  AQE_TARGET static Avx2::Compared compare(const Avx2::Some&, Vector a,
                                           Vector thresholds) {
    return _mm256_castps_si256(_mm256_cmp_ps(a, thresholds, _CMP_NGE_UQ));
  }
  AQE_TARGET static Vector select(Avx2::Compared fails, Vector a, Vector b) {
    return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(fails));
  }
  AQE_TARGET static Vector all(float value) { return _mm256_set1_ps(value); }
  // Of an unordered pair both give the second.
  AQE_TARGET static Vector limit(Vector a, Vector low, Vector high) {
    return _mm256_min_ps(high, _mm256_max_ps(low, a));
  }
};

}  // namespace
}  // namespace aqe
