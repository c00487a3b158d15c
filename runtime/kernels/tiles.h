// The loop around the vector convolutions and dense layers. A tile is a few
// positions of the convolution; their windows are copied side by side as
// patches, so that the inner kernel is a plain matrix product, and its sums go
// through max pool and output stage while they are in the cache.
//
// A `Method` says what a patch is and how it is multiplied:
//   Acc                                     the accumulator
//   pixel_bytes(layer)                      one pixel in a patch
//   patch_bytes(layer)                      a patch, a multiple of 64
//   load(layer, pixels, count, to)          copies neighbouring pixels
//   pad(layer, constants, count, to)        pixels outside the input
//   finish(layer, patch)                    once all pixels are there
//   block_bytes(layer)                      weights of 64 output channels
//   multiply(layer, constants, patches, rows, block, acc)
//                                           acc[row][64]; rows in fours
//   correct(layer, constants, tap, block, acc)  takes one padded pixel back
//   needs_correction(layer)
//   max(row, best)                          best[64] = max(best, row)
//   store(layer, acc, block, pixel)         the output stage
#pragma once

#include <algorithm>

#include "kernels/output.h"

namespace aqe {

constexpr int kTilePositions = 24;
constexpr int kMaxPositions = 32;
// Weights that a unit goes through again for each tile stay within this.
constexpr size_t kCachedBytes = 512 << 10;
constexpr int kEnoughUnits = 16;

struct Position {
  int n, y, x;  // of the convolution, before pooling
};

// Consecutive outputs and the positions they need. With pooling, all outputs
// lie in one row, and the positions are the rectangle [y, y + height) x [x, x +
// width) below their windows.
struct Tile {
  int64_t first_output = 0;
  int outputs = 0;
  int positions = 0;
  Position position[kMaxPositions];
  int height = 0, width = 0;
  int first_x = 0;  // of the outputs in their row
};

class Tiling {
 public:
  explicit Tiling(const Layer& layer) : layer_(layer) {
    if (!layer.has_pool) {
      tiles_ = (layer.out_pixels() + kTilePositions - 1) / kTilePositions;
      return;
    }
    const Window& pool = layer.pool;
    const int columns = kMaxPositions / pool.height;
    const int most = 1 + std::max(0, columns - pool.width) / pool.stride_x;
    segments_ = (layer.out_width + most - 1) / most;
    outputs_ = (layer.out_width + segments_ - 1) / segments_;
    segments_ = (layer.out_width + outputs_ - 1) / outputs_;
    tiles_ = int64_t{layer.batch} * layer.out_height * segments_;
  }

  int64_t tiles() const { return tiles_; }

  void locate(int64_t index, Tile* tile) const {
    layer_.has_pool ? locate_pooled(index, tile) : locate_plain(index, tile);
  }

 private:
  void locate_plain(int64_t index, Tile* tile) const {
    tile->first_output = index * kTilePositions;
    tile->positions = tile->outputs = static_cast<int>(std::min<int64_t>(
        kTilePositions, layer_.out_pixels() - tile->first_output));
    const int64_t row = tile->first_output / layer_.out_width;
    Position at = {static_cast<int>(row / layer_.out_height),
                   static_cast<int>(row % layer_.out_height),
                   static_cast<int>(tile->first_output % layer_.out_width)};
    for (int i = 0; i < tile->positions; ++i) {
      tile->position[i] = at;
      if (++at.x == layer_.out_width) {
        at.x = 0;
        if (++at.y == layer_.out_height) {
          at.y = 0;
          ++at.n;
        }
      }
    }
  }

  void locate_pooled(int64_t index, Tile* tile) const {
    const Window& pool = layer_.pool;
    const int64_t row = index / segments_;
    const int n = static_cast<int>(row / layer_.out_height);
    const int y = static_cast<int>(row % layer_.out_height);
    tile->first_x = static_cast<int>(index % segments_) * outputs_;
    tile->outputs = std::min(outputs_, layer_.out_width - tile->first_x);
    tile->first_output = row * layer_.out_width + tile->first_x;
    const int top = y * pool.stride_y - pool.pad_top;
    const int left = tile->first_x * pool.stride_x - pool.pad_left;
    const int right = left + (tile->outputs - 1) * pool.stride_x + pool.width;
    const int y_begin = std::max(top, 0);
    const int y_end = std::min(top + pool.height, layer_.conv_height);
    const int x_begin = std::max(left, 0);
    const int x_end = std::min(right, layer_.conv_width);
    tile->height = y_end - y_begin;
    tile->width = x_end - x_begin;
    tile->positions = 0;
    for (int at_y = y_begin; at_y < y_end; ++at_y) {
      for (int at_x = x_begin; at_x < x_end; ++at_x)
        tile->position[tile->positions++] = {n, at_y, at_x};
    }
  }

  const Layer& layer_;
  int64_t tiles_ = 0;
  int segments_ = 1;  // of a pooled row
  int outputs_ = 1;   // of a segment
};

inline bool fits_tiles(const Layer& layer) {
  return layer.groups == 1 &&
         (!layer.has_pool ||
          int64_t{layer.pool.height} * layer.pool.width <= kMaxPositions);
}

inline int64_t window_taps(const Layer& layer) {
  return int64_t{layer.window.height} * layer.window.width;
}

constexpr size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
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
  return kMaxPositions * (Method::patch_bytes(layer) +
                          kBlock * sizeof(typename Method::Acc));
}

// Whether pixel x (or y) of the input lies at tap `tap` of the window.
inline int64_t tap_position(int out, int stride, int pad, int tap,
                            int dilation) {
  return int64_t{out} * stride - pad + int64_t{tap} * dilation;
}

// Returns whether a part of the window lies outside the input.
template <class Method>
bool gather(const Layer& layer, const void* constants, const void* input,
            const Position& at, char* patch) {
  const Window& window = layer.window;
  const size_t step = Method::pixel_bytes(layer);
  const int64_t left = tap_position(at.x, window.stride_x, window.pad_left, 0,
                                    window.dilation_x);
  // Neighbouring taps are neighbouring pixels where there is no dilation.
  const int run = window.dilation_x == 1 ? window.width : 1;
  char* to = patch;
  bool is_padded = false;
  for (int ky = 0; ky < window.height; ++ky) {
    const int64_t y = tap_position(at.y, window.stride_y, window.pad_top, ky,
                                   window.dilation_y);
    if (y < 0 || y >= layer.in_height) {
      Method::pad(layer, constants, window.width, to);
      is_padded = true;
      to += window.width * step;
      continue;
    }
    const int64_t row =
        (int64_t{at.n} * layer.in_height + y) * layer.in_width;
    for (int kx = 0; kx < window.width; kx += run) {
      const int64_t x = left + int64_t{kx} * window.dilation_x;
      const int begin = static_cast<int>(std::clamp<int64_t>(-x, 0, run));
      const int end = static_cast<int>(
          std::clamp<int64_t>(layer.in_width - x, begin, run));
      if (begin > 0) Method::pad(layer, constants, begin, to);
      if (end > begin) {
        Method::load(
            layer,
            pixel_at(layer.input, layer.in_channels, input, row + x + begin),
            end - begin, to + begin * step);
      }
      if (end < run) Method::pad(layer, constants, run - end, to + end * step);
      is_padded |= begin > 0 || end < run;
      to += run * step;
    }
  }
  Method::finish(layer, patch);
  return is_padded;
}

// Takes back what padded pixels added to the sums of one position.
template <class Method>
void correct_padding(const Layer& layer, const void* constants,
                     const Position& at, int block,
                     typename Method::Acc* acc) {
  const Window& window = layer.window;
  for (int ky = 0; ky < window.height; ++ky) {
    const int64_t y = tap_position(at.y, window.stride_y, window.pad_top, ky,
                                   window.dilation_y);
    const bool is_row = y >= 0 && y < layer.in_height;
    for (int kx = 0; kx < window.width; ++kx) {
      const int64_t x = tap_position(at.x, window.stride_x, window.pad_left, kx,
                                     window.dilation_x);
      if (!is_row || x < 0 || x >= layer.in_width)
        Method::correct(layer, constants, int64_t{ky} * window.width + kx,
                        block, acc);
    }
  }
}

// Greatest sums of the pooling window of output i of the tile.
template <class Method>
void pool_output(const Layer& layer, const Tile& tile, int i,
                 const typename Method::Acc* acc, typename Method::Acc* best) {
  const Window& pool = layer.pool;
  const int left = (tile.first_x + i) * pool.stride_x - pool.pad_left;
  const int origin = tile.position[0].x;
  const int begin = std::max(left, 0) - origin;
  const int end = std::min(left + pool.width, layer.conv_width) - origin;
  std::copy_n(acc + begin * kBlock, kBlock, best);
  for (int y = 0; y < tile.height; ++y) {
    for (int x = begin; x < end; ++x)
      Method::max(acc + (y * tile.width + x) * kBlock, best);
  }
}

template <class Method>
void run_tiles(const Layer& layer, const void* constants, const void* input,
               void* output, void* scratch, int64_t begin, int64_t end) {
  using Acc = typename Method::Acc;
  const Tiling tiling(layer);
  const int blocks = block_count(layer.out_channels);
  const int step = blocks_per_unit<Method>(layer, tiling.tiles());
  const size_t patch_bytes = Method::patch_bytes(layer);
  const bool corrects = Method::needs_correction(layer);
  auto* patches = static_cast<char*>(scratch);
  auto* acc = reinterpret_cast<Acc*>(patches + kMaxPositions * patch_bytes);

  Tile tile;
  bool is_padded[kMaxPositions];
  int64_t gathered = -1;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t index = unit % tiling.tiles();
    const int first = static_cast<int>(unit / tiling.tiles()) * step;
    if (index != gathered) {
      tiling.locate(index, &tile);
      for (int i = 0; i < tile.positions; ++i)
        is_padded[i] = gather<Method>(layer, constants, input, tile.position[i],
                                      patches + i * patch_bytes);
      gathered = index;
    }
    for (int block = first; block < std::min(first + step, blocks); ++block) {
      Method::multiply(layer, constants, patches,
                       static_cast<int>(round_up(tile.positions, 4)), block,
                       acc);
      if (corrects) {
        for (int i = 0; i < tile.positions; ++i) {
          if (is_padded[i])
            correct_padding<Method>(layer, constants, tile.position[i], block,
                                    acc + i * kBlock);
        }
      }
      for (int i = 0; i < tile.outputs; ++i) {
        char* pixel = pixel_at(layer.output, layer.out_channels, output,
                               tile.first_output + i);
        alignas(64) Acc best[kBlock];
        if (layer.has_pool) pool_output<Method>(layer, tile, i, acc, best);
        Method::store(layer, layer.has_pool ? best : acc + i * kBlock, block,
                      pixel);
      }
    }
  }
}

}  // namespace aqe
