// Codes as bytes for the kernels that multiply.
#pragma once

#include "kernels/avx512.h"
#include "kernels/tiles.h"

namespace aqe {
namespace {

// Bytes of one pixel in a patch: its codes, or floats.
inline size_t patch_pixel_bytes(const Layer& layer) {
  return layer.float_accumulator() ? layer.in_channels * sizeof(float)
                                   : round_up(layer.in_channels, 4);
}

// What is added to a code to make it a byte without sign, as VPDPBUSD wants its
// first operand. The sums then hold that times the sum of the weights too much.
inline int raise_of(Type input) { return max_code(bits(input)); }

inline __mmask64 first_bytes(int count) {
  return count >= 64 ? ~0ull : (1ull << count) - 1;
}

// The bytes of one pixel of codes, and 0 up to a multiple of four: there are
// weights that have no 0.
AQE_AVX512 inline void decode_pixel(Type input, const char* pixel, int channels,
                             char* to) {
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
  alignas(16) char values[16] = {};
  for (int i = 0; i < 1 << planes; ++i)
    values[i] =
        static_cast<char>(code_from_planes(planes, i) + raise_of(input));
  const __m512i table = _mm512_broadcast_i32x4(
      _mm_load_si128(reinterpret_cast<const __m128i*>(values)));
  const auto* group = reinterpret_cast<const uint64_t*>(pixel);
  for (int c = 0; c < channels; c += 64, group += planes) {
    __m512i number = _mm512_setzero_si512();
    for (int p = 0; p < planes; ++p)
      number = _mm512_or_si512(
          number,
          _mm512_maskz_set1_epi8(group[p], static_cast<char>(1 << p)));
    _mm512_mask_storeu_epi8(
        to + c, first_bytes(static_cast<int>(round_up(channels, 4)) - c),
        _mm512_maskz_shuffle_epi8(first_bytes(channels - c), table, number));
  }
}

inline void normalize_pixel(const Layer& layer, const uint8_t* pixel, float* to) {
  for (int c = 0; c < layer.in_channels; ++c) {
    const float scaled = static_cast<float>(pixel[c]) * layer.input_scale[c];
    to[c] = scaled + layer.input_offset[c];
  }
}

// Neighbouring pixels of any input for a patch.
inline void load_pixels(const Layer& layer, const char* pixels, int count,
                        char* to) {
  const int64_t step = pixel_bytes(layer.input, layer.in_channels);
  if (layer.input == Type::kFloat32) {
    copy_words(pixels, count * step / 4, to);
    return;
  }
  for (int i = 0; i < count;
       ++i, pixels += step, to += patch_pixel_bytes(layer)) {
    if (layer.input == Type::kUInt8) {
      normalize_pixel(layer, reinterpret_cast<const uint8_t*>(pixels),
                      reinterpret_cast<float*>(to));
    } else {
      decode_pixel(layer.input, pixels, layer.in_channels, to);
    }
  }
}

}  // namespace
}  // namespace aqe
