// The loop around the vector convolutions and dense layers. A tile is a few
// positions of the convolution; their windows are copied side by side as
// patches, so that the inner kernel is a plain matrix product, and its sums go
// through max pool and output stage while they are in the cache.
//
// A `Method` says what a patch is and how it is multiplied:
//   Acc                                     the accumulator
//   pixel_bytes(layer)                      one pixel in a patch
//   patch_bytes(layer)                      a patch, a multiple of 64
//   load(layer, pixels, count, bytes, to)   copies neighbouring pixels, so many
//                                           bytes of the input
//   decodes(layer)                          whether that takes longer than to
//                                           copy words
//   pad_pixel(layer, constants)             stands for pixels outside the input
//   finish(layer, patch)                    once all pixels are there
//   block_bytes(layer)                      weights of 64 output channels
//   multiply(layer, constants, patches, rows, block, acc)
//                                           acc[row][64] for `rows` rows
//   tap_sums(layer, constants)              what pixels of padding add to the
//                                           sums, to be taken back
//   combine(plus, plus, minus, minus, minus, count, acc)
//                                           adds to and takes from so many sums
//                                           of a block
//   max(rows, count, first, columns, best)  best[64] of rows[row][column][64],
//                                           so many of both, from `first` on
//   store(layer, constants, acc, block, pixel)
//                                           the output stage
//   store_pixels(layer, constants, acc, pixels, block, pixel)
//                                           the same for pixels side by side
//   Set::copy_words(from, count, to)        so many 32-bit words
// VectorOutput of x86/ and NeonOutput of arm/ have Set, Acc and what comes
// after multiply.
//
// AQE_TARGET, defined before, is the attribute of the instruction set, so that
// what a Method does for each position is compiled into the loop.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "keras_aqe/kernel.h"
#include "kernels/loops/gather.h"
#include "kernels/loops/tap_sums.h"
#include "kernels/loops/tiling.h"

#ifndef AQE_TARGET
#error "the header of the instruction set comes first"
#endif

namespace aqe {

// Weights that a unit goes through again for each tile stay within this.
constexpr size_t kCachedBytes = 512 << 10;
constexpr int kEnoughUnits = 16;

// Parts of so many channels that a block has; what the sums of others are does
// not matter.
inline int parts_of_block(const Layer& layer, int block, int channels) {
  return (channels_in_block(layer.out_channels, block) + channels - 1) /
         channels;
}

// A unit is a tile and as many blocks of output channels.
template <class Method>
int blocks_per_unit(const Layer& layer, int64_t tiles) {
  const int64_t blocks = block_count(layer.out_channels);
  const int64_t cached =
      std::max<int64_t>(1, kCachedBytes / Method::block_bytes(layer));
  const int64_t parallel = std::max<int64_t>(1, blocks * tiles / kEnoughUnits);
  return static_cast<int>(std::min({blocks, cached, parallel}));
}

template <class Method>
int64_t tile_units(const Layer& layer) {
  const int64_t tiles = Tiling(layer).tiles();
  const int step = blocks_per_unit<Method>(layer, tiles);
  return tiles * ((block_count(layer.out_channels) + step - 1) / step);
}

template <class Method>
size_t tile_scratch_bytes(const Layer& layer) {
  return kMaxPositions *
         (Method::patch_bytes(layer) + kBlock * sizeof(typename Method::Acc));
}

// Greatest sums of the pooling window of output i of the tile.
template <class Method>
AQE_TARGET void pool_output(const Layer& layer, const Tile& tile, int i,
                            const typename Method::Acc* acc,
                            typename Method::Acc* best) {
  const Window& pool = layer.pool;
  const int left = (tile.first_x + i) * pool.stride_x - pool.pad_left;
  const int origin = tile.position[0].x;
  const int begin = std::max(left, 0) - origin;
  const int end = std::min(left + pool.width, layer.conv_width) - origin;
  const typename Method::Acc* rows[kMaxPositions];
  for (int y = 0; y < tile.height; ++y) rows[y] = acc + y * tile.width * kBlock;
  Method::max(rows, tile.height, begin, end - begin, best);
}

// Tiles of a layer, each gathered once.
template <class Method>
class TileRun {
 public:
  using Acc = typename Method::Acc;

  TileRun(const Layer& layer, const void* constants, const void* input,
          void* output, void* scratch)
      : layer_(layer),
        constants_(constants),
        output_(output),
        patch_bytes_(Method::patch_bytes(layer)),
        windows_(layer, constants, input),
        tap_sums_(Method::tap_sums(layer, constants)),
        patches_(static_cast<char*>(scratch)),
        acc_(reinterpret_cast<Acc*>(patches_ + kMaxPositions * patch_bytes_)) {}

  AQE_TARGET void gather(const Tile& tile) {
    for (int i = 0; i < tile.positions; ++i) {
      inside_[i] = windows_.copy(tile.position[i], tile.has_left(i),
                                 patches_ + i * patch_bytes_);
    }
    // Not yet in the loop above: a CPU waits where it reads in one piece what
    // it has just written in several.
    for (int i = 0; i < tile.positions; ++i)
      Method::finish(layer_, patches_ + i * patch_bytes_);
    // Read along with the last rows, for nothing; SHIFT looks their bytes up
    // in a table, so they must be codes.
    std::memset(patches_ + tile.positions * patch_bytes_, 0,
                (round_up(tile.positions, kRowsTogether) - tile.positions) *
                    patch_bytes_);
  }

  // A block of output channels of the tile that was gathered last.
  AQE_TARGET void compute(const Tile& tile, int block) {
    Method::multiply(layer_, constants_, patches_, tile.positions, block, acc_);
    if constexpr (std::is_integral_v<Acc>) {
      for (int i = 0; i < tile.positions; ++i) {
        if (tap_sums_.is_needed(inside_[i])) {
          tap_sums_.template take_back<Method>(
              inside_[i], block, channels_in_block(layer_.out_channels, block),
              acc_ + i * kBlock);
        }
      }
    }
    char* pixel = pixel_at(layer_.output, layer_.out_channels, output_,
                           tile.first_output);
    if (!layer_.has_pool) {
      Method::store_pixels(layer_, constants_, acc_, tile.outputs, block,
                           pixel);
      return;
    }
    for (int i = 0; i < tile.outputs; ++i) {
      alignas(64) Acc best[kBlock];
      pool_output<Method>(layer_, tile, i, acc_, best);
      Method::store(layer_, constants_, best, block, pixel);
      pixel += pixel_bytes(layer_.output, layer_.out_channels);
    }
  }

 private:
  const Layer& layer_;
  const void* const constants_;
  void* const output_;
  const size_t patch_bytes_;
  const Gather<Method> windows_;
  const TapSums tap_sums_;
  char* const patches_;
  Acc* const acc_;
  Taps inside_[kMaxPositions];
};

template <class Method>
AQE_TARGET void run_tiles(const Layer& layer, const void* constants,
                          const void* input, void* output, void* scratch,
                          int64_t begin, int64_t end) {
  const Tiling tiling(layer);
  const int blocks = block_count(layer.out_channels);
  const int step = blocks_per_unit<Method>(layer, tiling.tiles());
  TileRun<Method> run(layer, constants, input, output, scratch);
  Tile tile;
  int64_t gathered = -1;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t index = unit % tiling.tiles();
    const int first = static_cast<int>(unit / tiling.tiles()) * step;
    if (index != gathered) {
      tiling.locate(index, &tile);
      run.gather(tile);
      gathered = index;
    }
    for (int block = first; block < std::min(first + step, blocks); ++block)
      run.compute(tile, block);
  }
}

// The kernel of some methods. `Choose` says
//   with_method(layer, call)                calls `call` with the Method of the
//                                           layer's widths
//   kRows, kChannels                        positions and output channels that
//                                           they take at a time
//   constants_bytes(layer), pack(layer, constants)
template <class Choose>
struct TiledKernel {
  static constexpr Kernel kernel(const char* name, Operator op, WidthSet inputs,
                                 WidthSet weights, uint32_t features,
                                 bool (*supports)(const Layer&) = fits_tiles) {
    return {name,
            op,
            inputs,
            weights,
            features,
            Choose::kRows,
            Choose::kChannels,
            supports,
            Choose::constants_bytes,
            Choose::pack,
            scratch_bytes,
            units,
            run};
  }

 private:
  static size_t scratch_bytes(const Layer& layer) {
    return Choose::with_method(layer, [&](auto method) {
      return tile_scratch_bytes<decltype(method)>(layer);
    });
  }
  static int64_t units(const Layer& layer) {
    return Choose::with_method(layer, [&](auto method) {
      return tile_units<decltype(method)>(layer);
    });
  }
  static void run(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
    Choose::with_method(layer, [&](auto method) {
      run_tiles<decltype(method)>(layer, constants, input, output, scratch,
                                  begin, end);
    });
  }
};

}  // namespace aqe
