// The output stage of the AVX-512 kernels: 64 sums of one pixel.
#pragma once

#include <immintrin.h>

#include <algorithm>

#include "kernels/output.h"

#define AQE_AVX512 \
  __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))

namespace aqe {
namespace {

constexpr int kLanes = 16;  // sums of one register

inline uint16_t lanes(int count) {
  return count >= kLanes ? 0xffff
                         : static_cast<uint16_t>((1u << std::max(count, 0)) - 1);
}

// Copies so many 32-bit words.
AQE_AVX512 inline void copy_words(const void* from, int64_t count, void* to) {
  for (int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 some =
        lanes(static_cast<int>(std::min<int64_t>(count - i, kLanes)));
    _mm512_mask_storeu_epi32(
        static_cast<int32_t*>(to) + i, some,
        _mm512_maskz_loadu_epi32(some, static_cast<const int32_t*>(from) + i));
  }
}

// The vectors of one accumulator type.
struct Int32Lanes {
  using Acc = int32_t;
  using Vector = __m512i;

  AQE_AVX512 static Vector load(const int32_t* acc) {
    return _mm512_load_si512(acc);
  }
  AQE_AVX512 static Vector max(Vector a, Vector b) {
    return _mm512_max_epi32(a, b);
  }
  AQE_AVX512 static Vector times(Vector a, Vector direction) {
    return _mm512_mullo_epi32(a, direction);
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
  using Acc = float;
  using Vector = __m512;

  AQE_AVX512 static Vector load(const float* acc) {
    return _mm512_load_ps(acc);
  }
  // Greater or, of an unordered pair, the second: what `a > best` keeps.
  AQE_AVX512 static Vector max(Vector a, Vector best) {
    return _mm512_max_ps(a, best);
  }
  AQE_AVX512 static Vector times(Vector a, __m512i direction) {
    return _mm512_mul_ps(a, _mm512_cvtepi32_ps(direction));
  }
  AQE_AVX512 static __mmask16 passes(__mmask16 lanes, Vector a,
                                     const Layer& layer, int64_t first) {
    return _mm512_mask_cmp_ps_mask(
        lanes, a,
        _mm512_maskz_loadu_ps(lanes, layer.float_thresholds + first),
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

template <class Lanes>
AQE_AVX512 void max_block(const typename Lanes::Acc* acc,
                          typename Lanes::Acc* best) {
  for (int i = 0; i < kBlock; i += kLanes)
    Lanes::store(best + i, Lanes::max(Lanes::load(acc + i),
                                      Lanes::load(best + i)));
}

AQE_AVX512 inline __m512i load_direction(const Layer& layer, int first,
                                         __mmask16 valid) {
  return _mm512_cvtepi8_epi32(
      _mm_maskz_loadu_epi8(valid, layer.direction + first));
}

template <class Lanes, int kBits>
AQE_AVX512 void store_packed(const Layer& layer,
                             const typename Lanes::Acc* acc, int first,
                             int count, uint64_t* group) {
  constexpr int levels = threshold_count(static_cast<Type>(kBits));
  uint64_t passes[levels] = {};
  for (int i = 0; i < count; i += kLanes) {
    const __mmask16 valid = lanes(count - i);
    const auto value = Lanes::times(Lanes::load(acc + i),
                                    load_direction(layer, first + i, valid));
    for (int k = 0; k < levels; ++k) {
      passes[k] |= uint64_t{Lanes::passes(
                       valid, value, layer,
                       int64_t{k} * layer.out_channels + first + i)}
                   << i;
    }
  }
  planes_from_passes<kBits>(passes, count, group);
}

// The number of thresholds passed by binary search.
template <class Lanes>
AQE_AVX512 void store_int8(const Layer& layer, const typename Lanes::Acc* acc,
                           int first, int count, int8_t* out) {
  const __m512i channels = _mm512_set1_epi32(layer.out_channels);
  const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                                         12, 13, 14, 15);
  for (int i = 0; i < count; i += kLanes) {
    const __mmask16 valid = lanes(count - i);
    const auto value = Lanes::times(Lanes::load(acc + i),
                                    load_direction(layer, first + i, valid));
    const __m512i channel = _mm512_add_epi32(_mm512_set1_epi32(first + i), lane);
    __m512i index = _mm512_setzero_si512();
    for (int step = 128; step > 0; step /= 2) {
      const __m512i k = _mm512_add_epi32(index, _mm512_set1_epi32(step - 1));
      const __mmask16 pass = Lanes::passes(
          valid, value, layer,
          _mm512_add_epi32(_mm512_mullo_epi32(k, channels), channel));
      index = _mm512_mask_add_epi32(index, pass, index,
                                    _mm512_set1_epi32(step));
    }
    _mm512_mask_cvtepi32_storeu_epi8(
        out + i, valid, _mm512_sub_epi32(index, _mm512_set1_epi32(128)));
  }
}

template <class Lanes>
AQE_AVX512 void store_real(const Layer& layer, const typename Lanes::Acc* acc,
                           int first, int count, float* out) {
  for (int i = 0; i < count; i += kLanes) {
    const __mmask16 valid = lanes(count - i);
    const __m512 scaled =
        _mm512_mul_ps(Lanes::real(Lanes::load(acc + i)),
                      _mm512_maskz_loadu_ps(valid, layer.scale + first + i));
    _mm512_mask_storeu_ps(
        out + i, valid,
        _mm512_add_ps(scaled,
                      _mm512_maskz_loadu_ps(valid, layer.bias + first + i)));
  }
}

// One block of 64 sums to the output's pixel.
template <class Lanes>
void store_lanes(const Layer& layer, const typename Lanes::Acc* acc, int block,
                 char* pixel) {
  const int first = block * kBlock;
  const int count = channels_in_block(layer.out_channels, block);
  if (is_packed(layer.output)) {
    const auto store = layer.output == Type::kPacked1   ? store_packed<Lanes, 1>
                       : layer.output == Type::kPacked2 ? store_packed<Lanes, 2>
                       : layer.output == Type::kPacked3 ? store_packed<Lanes, 3>
                                                        : store_packed<Lanes, 4>;
    store(layer, acc, first, count,
          reinterpret_cast<uint64_t*>(pixel) +
              int64_t{block} * bits(layer.output));
  } else if (layer.output == Type::kInt8) {
    store_int8<Lanes>(layer, acc, first, count,
                      reinterpret_cast<int8_t*>(pixel) + first);
  } else if (layer.output == Type::kFloat32) {
    store_real<Lanes>(layer, acc, first, count,
                      reinterpret_cast<float*>(pixel) + first);
  } else {
    std::memcpy(reinterpret_cast<int32_t*>(pixel) + first, acc,
                count * sizeof(int32_t));
  }
}

}  // namespace
}  // namespace aqe
