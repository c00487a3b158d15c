// Tiles: a few neighbouring positions of a convolution at a time, whose windows
// lie side by side as patches.
#pragma once

#include <algorithm>

#include "kernels/loops/blocks.h"

namespace aqe {

constexpr int kTilePositions = 24;
constexpr int kMaxPositions = 32;
// A kernel may read rows up to the next multiple of this.
constexpr int kRowsTogether = 4;
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

  // Whether position i - 1 is the left neighbour of position i.
  bool has_left(int i) const {
    return i > 0 && position[i].x == position[i - 1].x + 1;
  }
};

// The tile of so many outputs without pooling, from `first` on.
inline void locate_outputs(const Layer& layer, int64_t first, int count,
                           Tile* tile) {
  tile->first_output = first;
  tile->positions = tile->outputs = count;
  const int64_t row = first / layer.out_width;
  Position at = {static_cast<int>(row / layer.out_height),
                 static_cast<int>(row % layer.out_height),
                 static_cast<int>(first % layer.out_width)};
  for (int i = 0; i < count; ++i) {
    tile->position[i] = at;
    if (++at.x == layer.out_width) {
      at.x = 0;
      if (++at.y == layer.out_height) {
        at.y = 0;
        ++at.n;
      }
    }
  }
}

class Tiling {
 public:
  explicit Tiling(const Layer& layer) : layer_(layer) {
    if (!layer.has_pool) {
      // The last tile takes what is left over, if it can.
      const int64_t all = layer.out_pixels() - kMaxPositions + kTilePositions;
      tiles_ =
          std::max<int64_t>(1, (all + kTilePositions - 1) / kTilePositions);
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
    const int64_t first = index * kTilePositions;
    locate_outputs(layer_, first,
                   index == tiles_ - 1
                       ? static_cast<int>(layer_.out_pixels() - first)
                       : kTilePositions,
                   tile);
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

}  // namespace aqe
