// Pooling, quantize and dequantize in plain C++.
#include <algorithm>
#include <cassert>

#include "kernels/kernels.h"
#include "kernels/loops/quantize.h"
#include "kernels/portable/conv.h"

namespace aqe {
namespace {

// Calls visit(codes) with the codes of one block for each position of the
// window inside the input; returns their number.
template <class Visit>
int for_each_pooled(const Layer& layer, const void* input, const RowBlock& at,
                    int x, Visit visit) {
  int count = 0;
  int8_t codes[kBlock];
  for_each_tap(
      layer, input, at.batch, at.y, x, [&](int64_t, const char* pixel) {
        load_block(layer.input, pixel, layer.in_channels, at.block, codes);
        visit(codes);
        ++count;
      });
  return count;
}

// The greater of 64 codes and those in `best`, by their planes.
void keep_greatest(int bits, const uint64_t* codes, uint64_t* best) {
  const int sign = bits - 1;
  uint64_t equal = ~uint64_t{0}, larger = 0;  // the magnitudes
  for (int p = sign - 1; p >= 0; --p) {
    larger |= equal & codes[p] & ~best[p];
    equal &= ~(codes[p] ^ best[p]);
  }
  const uint64_t both = codes[sign] & best[sign];
  const uint64_t greater = (best[sign] & ~codes[sign]) |
                           (~(codes[sign] | best[sign]) & larger) |
                           (both & ~larger & ~equal);
  for (int p = 0; p < bits; ++p) best[p] ^= (best[p] ^ codes[p]) & greater;
}

void run_max_pool(const Layer& layer, const void*, const void* input,
                  void* output, void*, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int channels = channels_in_block(layer.out_channels, at.block);
    const int planes = bits(layer.input);
    for (int x = 0; x < layer.out_width; ++x) {
      char* pixel = pixel_at(layer.output, layer.out_channels, output,
                             at.first_pixel + x);
      if (layer.input == Type::kInt8) {
        int8_t best[kBlock];
        std::fill_n(best, kBlock, int8_t{-128});
        for_each_pooled(layer, input, at, x, [&](const int8_t* codes) {
          for (int i = 0; i < channels; ++i)
            best[i] = std::max(best[i], codes[i]);
        });
        std::memcpy(pixel + at.block * kBlock, best, channels);
        continue;
      }
      auto* best =
          reinterpret_cast<uint64_t*>(pixel) + int64_t{at.block} * planes;
      bool is_first = true;
      for_each_tap(
          layer, input, at.batch, at.y, x, [&](int64_t, const char* from) {
            assert(from != nullptr);  // nothing pads a pool
            const auto* codes = reinterpret_cast<const uint64_t*>(from) +
                                int64_t{at.block} * planes;
            if (is_first) {
              std::copy_n(codes, planes, best);
            } else {
              keep_greatest(planes, codes, best);
            }
            is_first = false;
          });
    }
  }
}

void run_average_pool(const Layer& layer, const void*, const void* input,
                      void* output, void*, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int channels = channels_in_block(layer.out_channels, at.block);
    for (int x = 0; x < layer.out_width; ++x) {
      int32_t sum[kBlock] = {};
      const int count =
          for_each_pooled(layer, input, at, x, [&](const int8_t* codes) {
            for (int i = 0; i < channels; ++i) sum[i] += codes[i];
          });
      char* pixel = pixel_at(layer.output, layer.out_channels, output,
                             at.first_pixel + x);
      if (layer.scale != nullptr) {
        float mean[kBlock] = {};
        for (int i = 0; i < channels; ++i)
          mean[i] = static_cast<float>(sum[i]) / static_cast<float>(count);
        store_block(layer, mean, at.block, pixel);
      } else {
        store_block(layer, sum, at.block, pixel);
      }
    }
  }
}

struct Plain {
  template <class Value>
  static void quantize(const Layer& layer, const void*, const Value* values,
                       int block, char* pixel) {
    store_block(layer, values, block, pixel);
  }
};

void run_dequantize(const Layer& layer, const void*, const void* input,
                    void* output, void*, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int channels = channels_in_block(layer.out_channels, at.block);
    for (int x = 0; x < layer.out_width; ++x) {
      int8_t codes[kBlock] = {};
      load_block(
          layer.input,
          pixel_at(layer.input, layer.in_channels, input, at.first_pixel + x),
          layer.in_channels, at.block, codes);
      char* pixel = pixel_at(layer.output, layer.out_channels, output,
                             at.first_pixel + x);
      if (layer.output == Type::kInt8) {
        store_codes(layer, codes, at.block, channels, pixel);
      } else {
        int32_t values[kBlock];
        std::copy_n(codes, kBlock, values);
        store_block(layer, values, at.block, pixel);
      }
    }
  }
}

constexpr WidthSet kNoWeights = width_set(0);

constexpr Kernel elementwise(const char* name, Operator op, WidthSet inputs,
                             decltype(Kernel::run) run) {
  return {name,   op,      inputs,   kNoWeights,   0,        1,
          kBlock, nullptr, no_bytes, no_constants, no_bytes, row_block_units,
          run};
}

}  // namespace

extern constexpr Kernel kMaxPoolPortable = elementwise(
    "max_pool_2d_portable", Operator::kMaxPool2D, kCodeWidths, run_max_pool);
extern constexpr Kernel kAveragePoolPortable =
    elementwise("average_pool_2d_portable", Operator::kAveragePool2D,
                kCodeWidths, run_average_pool);
extern constexpr Kernel kQuantizePortable =
    elementwise("quantize_portable", Operator::kQuantize,
                width_set(Type::kFloat32, Type::kInt32), run_quantize<Plain>);
extern constexpr Kernel kDequantizePortable = elementwise(
    "dequantize_portable", Operator::kDequantize, kCodeWidths, run_dequantize);

}  // namespace aqe
