// The output stage of the XNOR kernel with GFNI, for a tile and a block of
// channels: max pool, and the codes that pass or the sums.
#pragma once

#include "kernels/x86/gfni_vectors.h"

#include "kernels/x86/gfni_tiling.h"
#include "kernels/x86/output.h"

namespace aqe::gfni {
namespace {

// What 64 channels of a group come to, at most.
constexpr size_t kResultBytes = sizeof(int32_t) * kGroup * kBlock;

AQE_TARGET void store_sums(const Layer& layer, const Tiling& tiling,
                           const Tile& tile, int block, const char* results,
                           void* output) {
  const auto* acc = reinterpret_cast<const int32_t*>(results);
  const int stride = tile.groups * kGroup * kBlock;
  for (int y = tile.y; y < tile.y + tile.rows; ++y) {
    const Span rows = rows_of(layer, tiling, tile, y);
    char* pixel = first_pixel(layer, tile, y, output);
    if (!layer.has_pool) {
      const Span columns = columns_of(layer, tiling, tile, tile.x);
      VectorOutput<Int32Lanes>::store_pixels(
          layer, nullptr, acc + rows.begin * stride + columns.begin * kBlock,
          tile.columns, block, pixel);
      continue;
    }
    const int count = rows.end - rows.begin;
    const int32_t* own[kMostGroups];
    for (int row = 0; row < count; ++row)
      own[row] = acc + (rows.begin + row) * stride;
    for (int x = tile.x; x < tile.x + tile.columns; ++x) {
      const Span columns = columns_of(layer, tiling, tile, x);
      alignas(64) int32_t best[kBlock];
      VectorOutput<Int32Lanes>::max(own, count, columns.begin,
                                    columns.end - columns.begin, best);
      VectorOutput<Int32Lanes>::store(layer, nullptr, best, block, pixel);
      pixel += pixel_bytes(layer.output, layer.out_channels);
    }
  }
}

// All bits of `count` words together.
AQE_TARGET inline uint64_t any(const uint64_t* words, int count) {
  if (count == 1) return *words;
  __m512i all = _mm512_setzero_si512();
  for (int i = 0; i < count; i += kGroup) {
    all = _mm512_or_si512(
        all, _mm512_maskz_loadu_epi64(
                 static_cast<__mmask8>(first_lanes(count - i)), words + i));
  }
  return static_cast<uint64_t>(_mm512_reduce_or_epi64(all));
}

// The greatest sum passes if any does; of sums that changed their sign, the
// least must.
template <int kBits>
AQE_TARGET void store_codes(const Layer& layer, const Tiling& tiling,
                            const Tile& tile, int block, const char* results,
                            void* output) {
  constexpr int kThresholds = threshold_count(static_cast<Type>(kBits));
  const int count = channels_in_block(layer.out_channels, block);
  const uint64_t negative =
      Avx512::Directions(layer, block * kBlock, count).negative();
  const __m512i signs = _mm512_set1_epi64(static_cast<int64_t>(negative));
  for (int y = tile.y; y < tile.y + tile.rows; ++y) {
    const Span rows = rows_of(layer, tiling, tile, y);
    alignas(64) uint64_t some[kThresholds][kColumns];
    for (int k = 0; k < kThresholds; ++k) {
      for (int g = 0; g < tile.groups; ++g) {
        __m512i all = _mm512_setzero_si512();
        for (int row = rows.begin; row < rows.end; ++row) {
          const __m512i passes =
              load(results + (row * tile.groups + g) * kResultBytes +
                   k * kVectorBytes);
          all = _mm512_or_si512(all, _mm512_xor_si512(passes, signs));
        }
        _mm512_store_si512(some[k] + g * kGroup, all);
      }
    }
    char* pixel = first_pixel(layer, tile, y, output);
    for (int x = tile.x; x < tile.x + tile.columns; ++x) {
      const Span columns = columns_of(layer, tiling, tile, x);
      uint64_t passes[kThresholds];
      for (int k = 0; k < kThresholds; ++k) {
        passes[k] = negative ^
                    any(some[k] + columns.begin, columns.end - columns.begin);
      }
      planes_from_passes<kBits>(
          passes, count,
          reinterpret_cast<uint64_t*>(pixel) + int64_t{block} * kBits);
      pixel += pixel_bytes(layer.output, layer.out_channels);
    }
  }
}

auto output_stage(Type output) {
  switch (output) {
    case Type::kPacked1:
      return store_codes<1>;
    case Type::kPacked2:
      return store_codes<2>;
    case Type::kPacked3:
      return store_codes<3>;
    case Type::kPacked4:
      return store_codes<4>;
    default:
      return store_sums;
  }
}

}  // namespace
}  // namespace aqe::gfni
