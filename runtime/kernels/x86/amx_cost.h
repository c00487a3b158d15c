// Whether AMX is faster than the other kernels of CPUs that have it, by a
// model: none was at hand to be measured. Cycles of one inference.
#pragma once

#include <algorithm>
#include <cmath>

#include "keras_aqe/kernel.h"
#include "kernels/loops/blocks.h"
#include "kernels/loops/tiling.h"
#include "kernels/x86/amx_tiles.h"
#include "kernels/x86/byte_patches.h"

namespace aqe {
namespace amx {

constexpr int kSplit = 16;  // output channels of a tile

// A product of tiles starts every cycle for each of its positions; a tile comes
// from the first cache in 8 cycles, from the second in 21, from further away at
// 10 bytes in a cycle.
constexpr double kFromFirst = 8, kFromSecond = 21, kFromAfar = 102;
constexpr double kSecondCache = 3 << 19;  // bytes of weights that stay there
constexpr double kCopied = 32;            // bytes of a patch in a cycle

// Rows of outputs at a time: two groups of positions, where a row has but one.
inline int output_rows_together(const Layer& layer) {
  return layer.conv_width <= kTileRows ? 2 : 1;
}

inline double convolution_positions(const Layer& layer) {
  return double{1} * layer.batch * layer.conv_height * layer.conv_width;
}

// All weights meet `groups` groups of so many positions.
inline double product_cycles(const Layer& layer, double bytes_of_window,
                             int groups, double positions, double weight_tile) {
  const int splits = (layer.out_channels + kSplit - 1) / kSplit;
  const double chunks = bytes_of_window / kTileBytes;
  const double products = groups * splits * positions;
  const double loads = weight_tile * ((groups + 1) / 2) * splits +
                       kFromFirst * groups * ((splits + 1) / 2);
  return chunks * std::max(products, loads);
}

inline double rows_cycles(const Layer& layer) {
  const double part = static_cast<double>(
      round_up(layer.window.width * patch_pixel_bytes(layer), kTileBytes));
  const double window = part * layer.window.height;
  const int rows =
      layer.has_pool ? layer.pool.height : output_rows_together(layer);
  const int of_row = (layer.conv_width + kTileRows - 1) / kTileRows;
  const bool is_near = window * layer.out_channels <= kSecondCache;
  return product_cycles(layer, window, rows * of_row,
                        double{1} * layer.conv_width / of_row,
                        is_near ? kFromSecond : kFromAfar) *
         layer.batch * layer.conv_height / rows;
}

inline double patches_cycles(const Layer& layer) {
  const double window = static_cast<double>(
      round_up(window_taps(layer) * patch_pixel_bytes(layer), kTileBytes));
  const double positions = convolution_positions(layer);
  const double tiles = std::max(
      1.0,
      std::ceil((positions - kMaxPositions + kTilePositions) / kTilePositions));
  const bool is_near = tiles > 1 || window * layer.out_channels <= kSecondCache;
  const int groups = positions <= kTileRows ? 1 : 2;
  return tiles * product_cycles(layer, window, groups,
                                positions / tiles / groups,
                                is_near ? kFromSecond : kFromAfar) +
         positions * window / kCopied;
}

// Of bit matrices, planes and dot products: multiply-accumulates in a cycle as
// docs/performance.md has them. Dense layers wait for their weights.
inline double other_cycles(const Layer& layer) {
  const int bits_of_product = bits(layer.input) * layer.weight_bits;
  const double per_cycle = bits_of_product == 1   ? 480
                           : bits_of_product == 2 ? 290
                           : bits_of_product == 4 ? 175
                                                  : 115;
  const double weights = double{1} * layer.out_channels *
                         static_cast<double>(layer.weights_per_output());
  const double bytes = weights * layer.weight_bits / 8;
  const double waiting =
      bytes <= kSecondCache ? 0 : bytes / kTileRows / kTileBytes * kFromAfar;
  return std::max(convolution_positions(layer) * weights / per_cycle, waiting);
}

}  // namespace amx
}  // namespace aqe
