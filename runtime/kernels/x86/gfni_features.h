// Features of input pixels for the XNOR kernel with GFNI, and where it finds
// them.
#pragma once

#include "kernels/x86/gfni_vectors.h"

#include <array>
#include <cstring>

#include "kernels/x86/gfni_tiling.h"

namespace aqe::gfni {
namespace {

// Bit 0 of the number of differences: e1(a) ^ e1(w), as a sum of two products.
constexpr int kParityOfInput = 1, kParityOfWeights = 2;

// The byte of the first `count` of four bits, with what e1 is before them.
constexpr unsigned feature(unsigned bits, unsigned before, int count,
                           bool is_weight) {
  unsigned after = before, change = 0, byte = 0;
  for (int i = 0; i < count; ++i) {
    const unsigned bit = bits >> i & 1;
    change ^= bit & after;
    after ^= bit;
    byte |= bit << i;
  }
  const unsigned of_input = is_weight ? 1 : change;
  const unsigned of_weight = is_weight ? change : 1;
  return byte | of_input << 4 | of_weight << 5 | after << 6 | before << 7;
}

// Features by the four bits and e1 in bit 4; bit 5 counts for nothing.
struct FeatureTable {
  alignas(64) std::array<uint8_t, 64> bytes{};
  constexpr FeatureTable(int count, bool is_weight) {
    for (unsigned i = 0; i < 64; ++i) {
      bytes[i] =
          static_cast<uint8_t>(feature(i & 15, i >> 4 & 1, count, is_weight));
    }
  }
};
constexpr FeatureTable kTwo(2, false), kFour(4, false);
constexpr FeatureTable kTwoWeights(2, true), kFourWeights(4, true);

// Words [0, 8) of eight pixels, of which `valid` exist: register j is word j of
// each.
AQE_INLINE void transpose_words(const uint64_t* const* pixels, int64_t first,
                                __mmask8 valid, __m512i* words) {
  __m512i pairs[8];
  for (int i = 0; i < 8; i += 2) {
    const __m512i a = _mm512_maskz_loadu_epi64(valid, pixels[i] + first);
    const __m512i b = _mm512_maskz_loadu_epi64(valid, pixels[i + 1] + first);
    pairs[i] = _mm512_unpacklo_epi64(a, b);
    pairs[i + 1] = _mm512_unpackhi_epi64(a, b);
  }
  for (int odd = 0; odd < 2; ++odd) {
    const __m512i* p = pairs + odd;
    const __m512i a = _mm512_shuffle_i64x2(p[0], p[2], 0x88);
    const __m512i b = _mm512_shuffle_i64x2(p[0], p[2], 0xdd);
    const __m512i c = _mm512_shuffle_i64x2(p[4], p[6], 0x88);
    const __m512i d = _mm512_shuffle_i64x2(p[4], p[6], 0xdd);
    words[odd] = _mm512_shuffle_i64x2(a, c, 0x88);
    words[2 + odd] = _mm512_shuffle_i64x2(b, d, 0x88);
    words[4 + odd] = _mm512_shuffle_i64x2(a, c, 0xdd);
    words[6 + odd] = _mm512_shuffle_i64x2(b, d, 0xdd);
  }
}

// Features of a word of eight pixels, [odd quads][two, four][quad][pixel].
// `before`: e1 so far, in all bits of a lane.
AQE_INLINE void make_features(__m512i word, __m512i* before,
                              __m512i* features) {
  // All bits of a byte: the parity of the byte, of its lower half.
  const __m512i of_byte = _mm512_set1_epi64(-1);
  const __m512i of_half = _mm512_set1_epi8(15);
  __m512i parity = _mm512_gf2p8affine_epi64_epi8(word, of_byte, 0);
  parity = _mm512_xor_si512(parity, _mm512_slli_epi64(parity, 8));
  parity = _mm512_xor_si512(parity, _mm512_slli_epi64(parity, 16));
  parity = _mm512_xor_si512(parity, _mm512_slli_epi64(parity, 32));
  const __m512i start = _mm512_xor_si512(_mm512_slli_epi64(parity, 8), *before);
  *before = _mm512_xor_si512(*before, _mm512_srai_epi64(parity, 63));
  constexpr int kSelect = 0xca;  // a ? b : c
  const __m512i even = _mm512_ternarylogic_epi64(of_half, word, start, kSelect);
  const __m512i odd = _mm512_ternarylogic_epi64(
      of_half, _mm512_srli_epi64(word, 4),
      _mm512_xor_si512(start, _mm512_gf2p8affine_epi64_epi8(word, of_half, 0)),
      kSelect);
  const __m512i order = load_table(kTransposition);
  const __m512i quads[] = {_mm512_permutexvar_epi8(order, even),
                           _mm512_permutexvar_epi8(order, odd)};
  for (int odd = 0; odd < 2; ++odd) {
    features[2 * odd] = _mm512_permutexvar_epi8(quads[odd], load_table(kTwo));
    features[2 * odd + 1] =
        _mm512_permutexvar_epi8(quads[odd], load_table(kFour));
  }
}

// Features of input rows, as far as a tile's columns need them:
// [word][odd quads][two, four][quad][column], then bit 0. A column is there
// once for each offset within a stride, those of one offset side by side.
class FeatureRows {
 public:
  FeatureRows(const Layer& layer, const Tiling& tiling, const void* constants,
              const void* input, char* memory)
      : layer_(layer),
        tiling_(tiling),
        words_(words(layer.in_channels)),
        pad_(static_cast<const uint64_t*>(constants)),
        input_(static_cast<const uint64_t*>(input)),
        outside_(memory),
        rows_(memory + row_bytes(layer)) {
    std::fill_n(outside_, row_bytes(layer), 0);
    if (layer.pad_value != 0) make(nullptr, 0, outside_);
    std::fill_n(holds_, tiling.in_rows, -1);
    for (int kx = 0; kx < layer.window.width; ++kx) {
      const int column = kx * layer.window.dilation_x;
      offsets_[kx] = column % layer.window.stride_x * tiling.phase +
                     column / layer.window.stride_x;
    }
  }

  static size_t row_bytes(const Layer& layer) {
    return (size_t{1} * words(layer.in_channels) * kWordRows + 1) * kColumns;
  }
  static size_t bytes(const Layer& layer) {
    return row_bytes(layer) * (Tiling(layer).in_rows + 1);
  }

  const char* outside() const { return outside_; }

  // Row y of image n from the column of position x on; null if the row lies
  // outside.
  const char* at(int n, int64_t y, int x) {
    if (y < 0 || y >= layer_.in_height) return nullptr;
    const int64_t slot = y % tiling_.in_rows;
    char* row = rows_ + slot * row_bytes(layer_);
    const int64_t key =
        (int64_t{n} * layer_.in_height + y) * layer_.conv_width + x;
    if (holds_[slot] != key) {
      const int64_t pixel =
          (int64_t{n} * layer_.in_height + y) * layer_.in_width;
      make(input_ + pixel * words_,
           int64_t{x} * layer_.window.stride_x - layer_.window.pad_left, row);
      holds_[slot] = key;
    }
    return row;
  }

  // From a row's first position to the features at a tap.
  int offset(int kx) const { return offsets_[kx]; }

 private:
  // `pixels` null: all columns are padding.
  AQE_TARGET void make(const uint64_t* pixels, int64_t left, char* row) const {
    const int stride = layer_.window.stride_x;
    for (int offset = 0; offset < stride; ++offset) {
      for (int i = 0; i < tiling_.phase; i += kGroup) {
        const uint64_t* group[kGroup];
        unsigned inside = 0;
        for (int k = 0; k < kGroup; ++k) {
          const int64_t x = left + (i + k) * stride + offset;
          const bool exists =
              pixels != nullptr && x >= 0 && x < layer_.in_width;
          group[k] = exists ? pixels + x * words_ : pad_;
          inside |= unsigned{exists || layer_.pad_value != 0} << k;
        }
        make_group(group, inside, row + offset * tiling_.phase + i);
      }
    }
  }

  AQE_TARGET void make_group(const uint64_t* const* pixels, unsigned inside,
                             char* to) const {
    const __m128i bytes_inside = _mm_movm_epi8(static_cast<__mmask16>(inside));
    const __m512i keep = _mm512_broadcastq_epi64(bytes_inside);
    __m512i parity = _mm512_setzero_si512();
    for (int first = 0; first < words_; first += 8) {
      const int count = std::min(8, words_ - first);
      __m512i word[8];
      if (words_ == 1 && pixels[kGroup - 1] == pixels[0] + kGroup - 1) {
        word[0] = _mm512_loadu_si512(pixels[0]);
      } else {
        transpose_words(pixels, first, static_cast<__mmask8>((1 << count) - 1),
                        word);
      }
      for (int j = 0; j < count; ++j) {
        __m512i features[4];
        make_features(word[j], &parity, features);
        for (const __m512i part : features) {
          alignas(64) int64_t rows[kGroup];
          _mm512_store_si512(rows, _mm512_and_si512(part, keep));
          for (int k = 0; k < kGroup; ++k, to += kColumns)
            std::memcpy(to, &rows[k], 8);
        }
      }
    }
    const __m128i odd = _mm_movm_epi8(_mm512_test_epi64_mask(parity, parity));
    const __m128i bit0 =
        _mm_or_si128(_mm_set1_epi8(kParityOfWeights),
                     _mm_and_si128(odd, _mm_set1_epi8(kParityOfInput)));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to),
                     _mm_and_si128(bit0, bytes_inside));
  }

  const Layer& layer_;
  const Tiling& tiling_;
  int words_;
  const uint64_t* pad_;
  const uint64_t* input_;
  char* outside_;
  char* rows_;
  int64_t holds_[kMostTaps];
  int offsets_[kMostTaps];
};

}  // namespace
}  // namespace aqe::gfni
