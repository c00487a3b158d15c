// Convolutions on codes with NEON where products are formed 16 at a time: by a
// shift or by a multiplication. Weights stay at 1, 2 or 4 bits each.
#pragma once

#include "kernels/arm/neon_codes.h"

namespace aqe::neon {

constexpr int kPair = 2;  // channels of a tile

// A Product has
//   Weight decode(planes, tables): 16 weights, ready to use;
//   add_narrow(acc, a, weight): acc plus the products, in 8-bit lanes;
//   add_wide(total, a, weight): the same, in pairs, into 32-bit lanes;
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
class Products {
 public:
  using Acc = int32_t;
  static constexpr int kTile = 4;

  // Constants: for each output channel the number of its negative weights; the
  // weights, [pair of channels][chunk][channel].
  static size_t constants_bytes(const Layer& layer) {
    const int pairs = (layer.out_channels + kPair - 1) / kPair;
    return weights_offset(layer) + int64_t{pairs} * pair_bytes(layer);
  }

  static void pack_constants(const Layer& layer, void* constants) {
    auto* bytes = static_cast<uint8_t*>(constants);
    std::memset(bytes, 0, constants_bytes(layer));
    auto* negatives = reinterpret_cast<int32_t*>(bytes);
    const int field = field_bits(layer.weight_bits);
    for (int o = 0; o < layer.out_channels; ++o) {
      uint8_t* pair = bytes + weights_offset(layer) +
                      int64_t{o / kPair} * pair_bytes(layer);
      for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
        const int code = weight_code(layer, o, i);
        negatives[o] += code < 0;
        const int64_t chunk = i / chunk_codes(layer);
        put_field(field, planes_from_code(layer.weight_bits, code),
                  static_cast<int>(i % chunk_codes(layer) / 16),
                  static_cast<int>(i % 16),
                  pair + (chunk * kPair + o % kPair) * 16);
      }
    }
  }

  static size_t scratch_bytes(const Layer& layer) {
    return CodeRows::scratch_bytes(layer) + kTile * row_bytes(layer);
  }

  Products(const Layer& layer, const char* constants, const void* input,
           char* scratch)
      : layer_(layer),
        constants_(constants),
        codes_(layer, input, scratch),
        rows_(reinterpret_cast<int8_t*>(scratch) +
              CodeRows::scratch_bytes(layer)),
        flush_(127 / greatest_product(layer) / (chunk_codes(layer) / 16)),
        tile_(find_tile<kTile>(layer)),
        single_(find_tile<1>(layer)) {
    Product::fill_tables(layer.weight_bits, tables_);
  }

  void start_row(int n, int y) { codes_.start_row(n, y); }

  template <int kPixels>
  void accumulate(int x, int block, int32_t* acc) {
    const size_t bytes = row_bytes(layer_);
    for (int i = 0; i < kPixels; ++i)
      codes_.gather(x + i, rows_ + i * bytes, bytes);
    const int count = channels_in_block(layer_.out_channels, block);
    const auto* weights = reinterpret_cast<const uint8_t*>(
        constants_ + weights_offset(layer_) +
        int64_t{block} * (kBlock / kPair) * pair_bytes(layer_));
    for (int o = 0; o < count; o += kPair, weights += pair_bytes(layer_)) {
      (kPixels == 1 ? single_ : tile_)(rows_, bytes, weights, chunks(layer_),
                                       flush_, tables_, acc + o);
    }
    if constexpr (Product::kCountsNegatives) {
      const auto* negatives = reinterpret_cast<const int32_t*>(constants_) +
                              int64_t{block} * kBlock;
      for (int i = 0; i < kPixels; ++i, acc += kBlock) {
        for (int o = 0; o < kBlock; o += 4)
          vst1q_s32(acc + o,
                    vaddq_s32(vld1q_s32(acc + o), vld1q_s32(negatives + o)));
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
  static int64_t row_bytes(const Layer& layer) {
    return chunks(layer) * chunk_codes(layer);
  }
  static int64_t pair_bytes(const Layer& layer) {
    return chunks(layer) * 16 * kPair;
  }
  static size_t weights_offset(const Layer& layer) {
    return size_t{4} * kBlock * block_count(layer.out_channels);
  }

  const Layer& layer_;
  const char* constants_;
  CodeRows codes_;
  int8_t* rows_;
  int8_t tables_[32] = {};
  int64_t flush_;
  Tile tile_, single_;
};

}  // namespace aqe::neon
