// Convolutions on codes with NEON where products are formed 16 at a time: by a
// shift or by a multiplication. Weights stay at 1, 2 or 4 bits each.
#pragma once

#include "kernels/arm/neon.h"

#include "kernels/arm/neon_codes.h"

namespace aqe::neon {

constexpr int kPair = 2;  // channels of a tile

// A Product has
//   Weight decode(planes, tables): 16 weights, ready to use;
//   add_narrow(acc, a, weight): acc plus the products, in 8-bit lanes;
//   add_wide(total, a, weight): the same, in pairs, into 32-bit lanes;
//   tables(weight_bits): two of 16 bytes to decode with;
//   kCountsNegatives: whether each negative weight's product is 1 too small.
//
// kNarrow: products are summed in bytes for `flush` chunks, which is as many
// as cannot overflow.
template <class Product, bool kNarrow, int kField, int kPixels>
__attribute__((noinline)) void products_tile(
    const int8_t* rows, size_t row_bytes, const uint8_t* weights,
    int64_t chunks, int64_t flush, const int8_t* table_bytes, int32_t* sums) {
  constexpr int kVectors = 8 / kField;  // in a chunk
  const int8x16_t tables[2] = {vld1q_s8(table_bytes),
                               vld1q_s8(table_bytes + 16)};
  const uint8x16_t mask = vdupq_n_u8((1 << kField) - 1);
  int32x4_t total[kPixels][kPair];
  for (auto& row : total) {
    for (int32x4_t& sum : row) sum = vdupq_n_s32(0);
  }
  while (chunks > 0) {
    const int64_t steps = kNarrow ? std::min(chunks, flush) : chunks;
    int8x16_t acc[kPixels][kPair];
    for (auto& row : acc) {
      for (int8x16_t& bytes : row) bytes = vdupq_n_s8(0);
    }
    for (int64_t step = 0; step < steps; ++step) {
      uint8x16_t packed[kPair];
      for (int o = 0; o < kPair; ++o) packed[o] = vld1q_u8(weights + 16 * o);
      for (int v = 0; v < kVectors; ++v) {
        typename Product::Weight weight[kPair];
        for (int o = 0; o < kPair; ++o) {
          weight[o] = Product::decode(packed[o] & mask, tables);
          packed[o] >>= kField;
        }
        for (int i = 0; i < kPixels; ++i) {
          const int8x16_t a = vld1q_s8(rows + i * row_bytes + 16 * v);
          for (int o = 0; o < kPair; ++o) {
            if constexpr (kNarrow) {
              acc[i][o] = Product::add_narrow(acc[i][o], a, weight[o]);
            } else {
              total[i][o] = Product::add_wide(total[i][o], a, weight[o]);
            }
          }
        }
      }
      rows += 16 * kVectors;
      weights += 16 * kPair;
    }
    if constexpr (kNarrow) {
      for (int i = 0; i < kPixels; ++i) {
        for (int o = 0; o < kPair; ++o)
          total[i][o] = vpadalq_s16(total[i][o], vpaddlq_s8(acc[i][o]));
      }
    }
    chunks -= steps;
  }
  for (int i = 0; i < kPixels; ++i) {
    const int32x4_t pairs = vpaddq_s32(total[i][0], total[i][1]);
    vst1_s32(sums + i * kBlock, vget_low_s32(vpaddq_s32(pairs, pairs)));
  }
}

template <class Product>
struct Products : CodePatches<Products<Product>> {
  using Patches = CodePatches<Products<Product>>;
  static constexpr int kRows = 4, kChannels = kPair;

  static int64_t row_bytes(const Layer& layer) {
    return chunks(layer) * chunk_codes(layer);
  }
  static size_t block_bytes(const Layer& layer) {
    return pair_bytes(layer) * (kBlock / kPair);
  }

  // Constants: a pixel of padding; for each output channel the number of its
  // negative weights; the weights, [pair of channels][chunk][channel].
  static size_t constants_bytes(const Layer& layer) {
    const int pairs = (layer.out_channels + kPair - 1) / kPair;
    return weights_offset(layer) + int64_t{pairs} * pair_bytes(layer);
  }

  static void pack(const Layer& layer, char* constants) {
    std::memset(constants, 0, constants_bytes(layer));
    Patches::pack_pad_pixel(layer, constants);
    auto* bytes = reinterpret_cast<uint8_t*>(constants);
    auto* negatives =
        reinterpret_cast<int32_t*>(bytes + Patches::pad_bytes(layer));
    const int field = field_bits(layer.weight_bits);
    WeightRows rows(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      const int8_t* planes = rows.planes(o);
      uint8_t* pair = bytes + weights_offset(layer) +
                      int64_t{o / kPair} * pair_bytes(layer);
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        negatives[o] += planes[i] >> (layer.weight_bits - 1);
        const int64_t chunk = i / chunk_codes(layer);
        put_field(field, static_cast<unsigned>(planes[i]),
                  static_cast<int>(i % chunk_codes(layer) / 16),
                  static_cast<int>(i % 16),
                  pair + (chunk * kPair + o % kPair) * 16);
      }
    }
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, int32_t* acc) {
    const char* own = behind_output(layer, constants);
    const size_t stride = Patches::patch_bytes(layer);
    const auto* weights = reinterpret_cast<const uint8_t*>(own) +
                          weights_offset(layer) +
                          int64_t{block} * block_bytes(layer);
    // As many chunks as bytes can hold the sums of.
    const int64_t flush =
        127 / greatest_product(layer) / (chunk_codes(layer) / 16);
    const int8_t* tables = Product::tables(layer.weight_bits);
    const auto tile = find_tile<kRows>(layer), single = find_tile<1>(layer);
    const int count = channels_in_block(layer.out_channels, block);
    for (int o = 0; o < count; o += kPair, weights += pair_bytes(layer)) {
      for (int r = 0; r < rows; r += kRows) {
        (rows - r == 1 ? single : tile)(
            reinterpret_cast<const int8_t*>(patches) + r * stride, stride,
            weights, chunks(layer), flush, tables, acc + r * kBlock + o);
      }
    }
    if constexpr (Product::kCountsNegatives) {
      const auto* negatives =
          reinterpret_cast<const int32_t*>(own + Patches::pad_bytes(layer)) +
          int64_t{block} * kBlock;
      for (int r = 0; r < rows; ++r, acc += kBlock) {
        for (int o = 0; o < kBlock; o += 4)
          neon::store(acc + o, vaddq_s32(neon::load(acc + o),
                                         neon::load(negatives + o)));
      }
    }
  }

 private:
  using Tile = void (*)(const int8_t*, size_t, const uint8_t*, int64_t, int64_t,
                        const int8_t*, int32_t*);

  template <int kPixels>
  static Tile find_tile(const Layer& layer) {
    const bool is_narrow = bits(layer.input) <= 3 && layer.weight_bits <= 3;
    return is_narrow ? find_field<true, kPixels>(layer)
                     : find_field<false, kPixels>(layer);
  }

  template <bool kNarrow, int kPixels>
  static Tile find_field(const Layer& layer) {
    switch (field_bits(layer.weight_bits)) {
      case 1:
        return products_tile<Product, kNarrow, 1, kPixels>;
      case 2:
        return products_tile<Product, kNarrow, 2, kPixels>;
      default:
        return products_tile<Product, kNarrow, 4, kPixels>;
    }
  }

  // Or one more: what a Product that counts negatives adds up.
  static int greatest_product(const Layer& layer) {
    return max_code(bits(layer.input)) * max_code(layer.weight_bits) +
           Product::kCountsNegatives;
  }
  static int64_t chunk_codes(const Layer& layer) {
    return 128 / field_bits(layer.weight_bits);
  }
  static int64_t chunks(const Layer& layer) {
    return (layer.weights_per_output() + chunk_codes(layer) - 1) /
           chunk_codes(layer);
  }
  static int64_t pair_bytes(const Layer& layer) {
    return chunks(layer) * 16 * kPair;
  }
  static size_t weights_offset(const Layer& layer) {
    return Patches::pad_bytes(layer) +
           size_t{4} * kBlock * block_count(layer.out_channels);
  }
};

template <class Product>
constexpr Kernel products_kernel(const char* name, Operator op) {
  return TiledKernel<OneMethod<Products<Product>>>::kernel(
      name, op, kCodeWidths, kWeightWidths, 0);
}

}  // namespace aqe::neon
