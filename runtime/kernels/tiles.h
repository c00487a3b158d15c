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
//                                           acc[row][64] for `rows` rows
//   tap_sums(layer, constants)              what a padded pixel adds to the
//   sums
//                                           at each tap, to be taken back,
//                                           int32 [tap][channels in blocks], or
//                                           null
//   max(acc, rows, stride, columns, best)   best[64] of acc[row][column][64],
//                                           rows `stride` apart
//   store(layer, acc, block, pixel)         the output stage
// VectorOutput has the last three and their Acc, for the vectors `Lanes` of an
// instruction set `Lanes::Set`.
#pragma once

#include <algorithm>
#include <type_traits>

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
  return kMaxPositions *
         (Method::patch_bytes(layer) + kBlock * sizeof(typename Method::Acc));
}

// Copies the windows of a layer's positions.
template <class Method>
class Gather {
 public:
  Gather(const Layer& layer, const void* constants, const void* input)
      : layer_(layer),
        window_(layer.window),
        constants_(constants),
        input_(static_cast<const char*>(input)),
        step_(Method::pixel_bytes(layer)),
        pixel_bytes_(aqe::pixel_bytes(layer.input, layer.in_channels)),
        // Neighbouring taps are neighbouring pixels where there is no dilation.
        run_(window_.dilation_x == 1 ? window_.width : 1) {}

  // Returns whether a part of the window lies outside the input.
  bool copy(const Position& at, char* patch) const {
    const int64_t top = first_row(at), left = first_column(at);
    bool is_padded = false;
    for (int ky = 0; ky < window_.height; ++ky) {
      const int64_t y = top + int64_t{ky} * window_.dilation_y;
      if (y < 0 || y >= layer_.in_height) {
        Method::pad(layer_, constants_, window_.width, patch);
        is_padded = true;
      } else {
        const char* row = input_ + (int64_t{at.n} * layer_.in_height + y) *
                                       layer_.in_width * pixel_bytes_;
        is_padded |= copy_row(row, left, patch);
      }
      patch += window_.width * step_;
    }
    return is_padded;
  }

  // Calls visit(tap) for the taps that lie outside the input.
  template <class Visit>
  void for_each_padded(const Position& at, Visit visit) const {
    const int64_t top = first_row(at), left = first_column(at);
    for (int ky = 0; ky < window_.height; ++ky) {
      const int64_t y = top + int64_t{ky} * window_.dilation_y;
      const bool is_row = y >= 0 && y < layer_.in_height;
      for (int kx = 0; kx < window_.width; ++kx) {
        const int64_t x = left + int64_t{kx} * window_.dilation_x;
        if (!is_row || x < 0 || x >= layer_.in_width)
          visit(int64_t{ky} * window_.width + kx);
      }
    }
  }

 private:
  int64_t first_row(const Position& at) const {
    return int64_t{at.y} * window_.stride_y - window_.pad_top;
  }
  int64_t first_column(const Position& at) const {
    return int64_t{at.x} * window_.stride_x - window_.pad_left;
  }

  bool copy_row(const char* row, int64_t left, char* to) const {
    bool is_padded = false;
    for (int kx = 0; kx < window_.width; kx += run_, to += run_ * step_) {
      const int64_t x = left + int64_t{kx} * window_.dilation_x;
      if (x >= 0 && x + run_ <= layer_.in_width) {
        Method::load(layer_, row + x * pixel_bytes_, run_, to);
        continue;
      }
      is_padded = true;
      const int begin = static_cast<int>(std::clamp<int64_t>(-x, 0, run_));
      const int end = static_cast<int>(
          std::clamp<int64_t>(layer_.in_width - x, begin, run_));
      Method::pad(layer_, constants_, begin, to);
      if (end > begin) {
        Method::load(layer_, row + (x + begin) * pixel_bytes_, end - begin,
                     to + begin * step_);
      }
      Method::pad(layer_, constants_, run_ - end, to + end * step_);
    }
    return is_padded;
  }

  const Layer& layer_;
  const Window& window_;
  const void* constants_;
  const char* input_;
  int64_t step_, pixel_bytes_;  // of a patch, of the input
  int run_;
};

// Greatest sums of the pooling window of output i of the tile.
template <class Method>
void pool_output(const Layer& layer, const Tile& tile, int i,
                 const typename Method::Acc* acc, typename Method::Acc* best) {
  const Window& pool = layer.pool;
  const int left = (tile.first_x + i) * pool.stride_x - pool.pad_left;
  const int origin = tile.position[0].x;
  const int begin = std::max(left, 0) - origin;
  const int end = std::min(left + pool.width, layer.conv_width) - origin;
  Method::max(acc + begin * kBlock, tile.height, tile.width * kBlock,
              end - begin, best);
}

template <class Method>
void run_tiles(const Layer& layer, const void* constants, const void* input,
               void* output, void* scratch, int64_t begin, int64_t end) {
  using Acc = typename Method::Acc;
  const Tiling tiling(layer);
  const int blocks = block_count(layer.out_channels);
  const int step = blocks_per_unit<Method>(layer, tiling.tiles());
  const size_t patch_bytes = Method::patch_bytes(layer);
  const Gather<Method> windows(layer, constants, input);
  const int32_t* tap_sums = Method::tap_sums(layer, constants);
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
      for (int i = 0; i < tile.positions; ++i) {
        char* patch = patches + i * patch_bytes;
        is_padded[i] = windows.copy(tile.position[i], patch);
        Method::finish(layer, patch);
      }
      gathered = index;
    }
    for (int block = first; block < std::min(first + step, blocks); ++block) {
      Method::multiply(layer, constants, patches, tile.positions, block, acc);
      if constexpr (std::is_integral_v<Acc>) {
        for (int i = 0; tap_sums != nullptr && i < tile.positions; ++i) {
          if (!is_padded[i]) continue;
          windows.for_each_padded(tile.position[i], [&](int64_t tap) {
            Method::subtract(tap_sums + (tap * blocks + block) * kBlock,
                             acc + i * kBlock);
          });
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

// One block of 64 sums to the output's pixel.
template <class Lanes>
struct VectorOutput {
  using Acc = typename Lanes::Acc;
  using Set = typename Lanes::Set;

  static const int32_t* tap_sums(const Layer&, const void*) { return nullptr; }

  static void subtract(const int32_t* sums, int32_t* acc) {
    Set::subtract(sums, acc);
  }

  static void max(const Acc* acc, int rows, int stride, int columns,
                  Acc* best) {
    Set::template max<Lanes>(acc, rows, stride, columns, best);
  }

  static void store(const Layer& layer, const Acc* acc, int block,
                    char* pixel) {
    const int first = block * kBlock;
    const int count = channels_in_block(layer.out_channels, block);
    switch (layer.output) {
      case Type::kPacked1:
        return store_packed<1>(layer, acc, block, count, pixel);
      case Type::kPacked2:
        return store_packed<2>(layer, acc, block, count, pixel);
      case Type::kPacked3:
        return store_packed<3>(layer, acc, block, count, pixel);
      case Type::kPacked4:
        return store_packed<4>(layer, acc, block, count, pixel);
      case Type::kInt8:
        return Set::template store_int8<Lanes>(
            layer, acc, first, count, reinterpret_cast<int8_t*>(pixel) + first);
      case Type::kFloat32:
        return Set::template store_real<Lanes>(
            layer, acc, first, count, reinterpret_cast<float*>(pixel) + first);
      default:
        std::memcpy(reinterpret_cast<int32_t*>(pixel) + first, acc,
                    count * sizeof(int32_t));
    }
  }

 private:
  template <int kBits>
  static void store_packed(const Layer& layer, const Acc* acc, int block,
                           int count, char* pixel) {
    uint64_t passes[threshold_count(static_cast<Type>(kBits))] = {};
    Set::template pass<Lanes, kBits>(layer, acc, block * kBlock, count, passes);
    planes_from_passes<kBits>(
        passes, count,
        reinterpret_cast<uint64_t*>(pixel) + int64_t{block} * kBits);
  }
};

// What a Kernel points to; `Choose::with_method(layer, call)` calls `call` with
// the Method of the layer's widths.
template <class Choose>
struct TiledKernel {
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
