// The loop around the NEON convolutions: rows, max pool, output stage. What
// differs is how the accumulators of a few neighbouring positions come about.
#pragma once

#include "keras_aqe/kernel.h"
#include "kernels/arm/neon_output.h"

namespace aqe::neon {

// Calls visit(tap, count, in_y, in_x, is_inside) for the taps of one position,
// as many at a time as are neighbours and all inside the input or all outside.
template <class Visit>
void for_each_run(const Layer& layer, int y, int x, Visit visit) {
  const Window& window = layer.window;
  const int64_t left = int64_t{x} * window.stride_x - window.pad_left;
  for (int ky = 0; ky < window.height; ++ky) {
    const int64_t in_y = int64_t{y} * window.stride_y - window.pad_top +
                         int64_t{ky} * window.dilation_y;
    const bool is_row = in_y >= 0 && in_y < layer.in_height;
    for (int64_t kx = 0, count; kx < window.width; kx += count) {
      const int64_t in_x = left + kx * window.dilation_x;
      count = window.width - kx;
      if (is_row && in_x < layer.in_width)
        count = window.dilation_x > 1
                    ? 1
                    : std::min(count, in_x < 0 ? -in_x : layer.in_width - in_x);
      visit(ky * window.width + kx, count, in_y, in_x,
            is_row && in_x >= 0 && in_x < layer.in_width);
    }
  }
}

inline int64_t taps(const Layer& layer) {
  return int64_t{layer.window.height} * layer.window.width;
}

// A Method has
//   Acc, int32_t or float; kTile, the positions that it likes to compute at a
//     time;
//   constants_bytes, pack_constants and scratch_bytes, as in Kernel;
//   a constructor (layer, constants, input, scratch);
//   start_row(n, y): what comes next is row y of the convolution;
//   accumulate<P>(x, block, acc): the sums of 64 channels at the P positions
//     from x.
template <class Method>
struct Convolution {
  using Acc = typename Method::Acc;

  static size_t constants_bytes(const Layer& layer) {
    return output_bytes(layer) + Method::constants_bytes(layer);
  }

  static void pack_constants(const Layer& layer, void* constants) {
    pack_output(layer, constants);
    Method::pack_constants(layer,
                           static_cast<char*>(constants) + output_bytes(layer));
  }

  static size_t scratch_bytes(const Layer& layer) {
    return pool_bytes(layer) + Method::scratch_bytes(layer);
  }

  static void run(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
    Method method(layer,
                  static_cast<const char*>(constants) + output_bytes(layer),
                  input, static_cast<char*>(scratch) + pool_bytes(layer));
    for (int64_t unit = begin; unit < end; ++unit) {
      const RowBlock at = row_block(layer, unit);
      const auto store_at = [&](int x, Acc* acc) {
        store_pixel(layer, constants, acc, at.block,
                    pixel_at(layer.output, layer.out_channels, output,
                             at.first_pixel + x));
      };
      if (layer.has_pool) {
        pool_row(layer, method, at, static_cast<Acc*>(scratch), store_at);
      } else {
        for_each_position(layer, method, at.batch, at.y, at.block, store_at);
      }
    }
  }

 private:
  static size_t pool_bytes(const Layer& layer) {
    return layer.has_pool ? sizeof(Acc) * kBlock * layer.conv_width : 0;
  }

  // Calls use(x, acc) for every position of a row of the convolution.
  template <class Use>
  static void for_each_position(const Layer& layer, Method& method, int n,
                                int y, int block, Use use) {
    constexpr int kTile = Method::kTile;
    Acc acc[kTile * kBlock];
    method.start_row(n, y);
    int x = 0;
    for (; x + kTile <= layer.conv_width; x += kTile) {
      method.template accumulate<kTile>(x, block, acc);
      for (int i = 0; i < kTile; ++i) use(x + i, acc + i * kBlock);
    }
    for (; x < layer.conv_width; ++x) {
      method.template accumulate<1>(x, block, acc);
      use(x, acc);
    }
  }

  // One row of the pooled output; `greatest` holds, for each column of the
  // convolution, the greatest accumulators of the window's rows.
  template <class Store>
  static void pool_row(const Layer& layer, Method& method, const RowBlock& at,
                       Acc* greatest, Store store_at) {
    const Window& pool = layer.pool;
    const int top = at.y * pool.stride_y - pool.pad_top;
    const int first = std::max(top, 0);
    const int last = std::min(top + pool.height, layer.conv_height);
    for (int y = first; y < last; ++y) {
      for_each_position(
          layer, method, at.batch, y, at.block, [&](int x, const Acc* acc) {
            Acc* to = greatest + int64_t{x} * kBlock;
            y == first ? static_cast<void>(std::copy_n(acc, kBlock, to))
                       : take_greater(to, acc);
          });
    }
    for (int x = 0; x < layer.out_width; ++x) {
      const int left = x * pool.stride_x - pool.pad_left;
      const int begin = std::max(left, 0);
      const int end = std::min(left + pool.width, layer.conv_width);
      Acc best[kBlock];
      std::copy_n(greatest + int64_t{begin} * kBlock, kBlock, best);
      for (int column = begin + 1; column < end; ++column)
        take_greater(best, greatest + int64_t{column} * kBlock);
      store_at(x, best);
    }
  }

  static void take_greater(Acc* to, const Acc* acc) {
    for (int i = 0; i < kBlock; i += 4)
      store(to + i, greater(load(to + i), load(acc + i)));
  }
};

inline bool has_one_group(const Layer& layer) { return layer.groups == 1; }

template <class Method>
constexpr Kernel kernel(const char* name, Operator op, WidthSet inputs,
                        WidthSet weights, uint32_t features,
                        bool (*supports)(const Layer&), int tile_channels) {
  using Conv = Convolution<Method>;
  return {name,
          op,
          inputs,
          weights,
          features,
          Method::kTile,
          tile_channels,
          supports,
          Conv::constants_bytes,
          Conv::pack_constants,
          Conv::scratch_bytes,
          row_block_units,
          Conv::run};
}

}  // namespace aqe::neon
