// Tiles of the XNOR kernel with GFNI: outputs whose positions fill registers,
// eight neighbours in each.
#pragma once

#include "kernels/x86/gfni_vectors.h"

#include <algorithm>

namespace aqe::gfni {
namespace {

// Positions of a tile are rows of one or two groups.
struct Tiling {
  explicit Tiling(const Layer& layer)
      : pool(layer.has_pool ? layer.pool : Window()) {
    const Window& window = layer.window;
    reach = (window.width - 1) * window.dilation_x / window.stride_x;
    for (columns = 2 * kGroup; columns > 0; columns -= kGroup) {
      phase = static_cast<int>(round_up(columns + reach, kGroup));
      if (phase * window.stride_x <= kColumns) break;
    }
    if (columns == 0) return;
    groups = std::min(columns,
                      static_cast<int>(round_up(layer.conv_width, kGroup))) /
             kGroup;
    rows = layer.has_pool ? 1 : std::min(kRowGroups / groups, layer.out_height);
    outputs = std::max(0, columns - pool.width) / pool.stride_x + 1;
    outputs = std::min(outputs, layer.out_width);
    across = (layer.out_width + outputs - 1) / outputs;
    down = (layer.out_height + rows - 1) / rows;
    in_rows = ((rows - 1) * pool.stride_y + pool.height - 1) * window.stride_y +
              (window.height - 1) * window.dilation_y + 1;
  }

  int64_t tiles(const Layer& layer) const {
    return int64_t{layer.batch} * down * across;
  }

  Window pool;
  int columns = 0;  // of positions, at most
  int reach = 0;    // of the taps to the right, in positions
  int phase = 0;    // columns of features for each offset within a stride
  int groups = 0;   // of a row
  int rows = 0, outputs = 0;  // of outputs: rows, and in a row
  int across = 0, down = 0;   // tiles of an image
  int in_rows = 0;            // of the input, that a tile sees
};

// Outputs of a tile and the positions [y_begin, y_end) x [x_begin, x_end) that
// they need.
struct Tile {
  int n, y, x, rows, columns;
  int y_begin, y_end, x_begin, x_end;
  int groups;  // of a row

  // Below each other first, since they share rows.
  Tile(const Layer& layer, const Tiling& tiling, int64_t index) {
    const Window& pool = tiling.pool;
    y = static_cast<int>(index % tiling.down) * tiling.rows;
    index /= tiling.down;
    x = static_cast<int>(index % tiling.across) * tiling.outputs;
    n = static_cast<int>(index / tiling.across);
    rows = std::min(tiling.rows, layer.out_height - y);
    columns = std::min(tiling.outputs, layer.out_width - x);
    const int top = y * pool.stride_y - pool.pad_top;
    const int left = x * pool.stride_x - pool.pad_left;
    y_begin = std::max(top, 0);
    x_begin = std::max(left, 0);
    y_end = std::min(top + (rows - 1) * pool.stride_y + pool.height,
                     layer.conv_height);
    x_end = std::min(left + (columns - 1) * pool.stride_x + pool.width,
                     layer.conv_width);
    groups = (x_end - x_begin + kGroup - 1) / kGroup;
  }
};

struct Span {
  int begin, end;
};

// Positions of the tile that an output is the maximum of, on one axis.
Span rows_of(const Layer& layer, const Tiling& tiling, const Tile& tile,
             int y) {
  const int top = y * tiling.pool.stride_y - tiling.pool.pad_top;
  return {std::max(top, 0) - tile.y_begin,
          std::min(top + tiling.pool.height, layer.conv_height) - tile.y_begin};
}
Span columns_of(const Layer& layer, const Tiling& tiling, const Tile& tile,
                int x) {
  const int left = x * tiling.pool.stride_x - tiling.pool.pad_left;
  return {std::max(left, 0) - tile.x_begin,
          std::min(left + tiling.pool.width, layer.conv_width) - tile.x_begin};
}

char* first_pixel(const Layer& layer, const Tile& tile, int y, void* output) {
  return pixel_at(
      layer.output, layer.out_channels, output,
      (int64_t{tile.n} * layer.out_height + y) * layer.out_width + tile.x);
}

}  // namespace
}  // namespace aqe::gfni
