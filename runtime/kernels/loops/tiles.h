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
//   tap_sums(layer, constants)              what a padded pixel adds to the
//   sums
//                                           at each tap, to be taken back,
//                                           int32 [tap][channels in blocks], or
//                                           null
//   max(acc, rows, stride, columns, best)   best[64] of acc[row][column][64],
//                                           rows `stride` apart
//   store(layer, acc, block, pixel)         the output stage
// VectorOutput has the last four, their Acc and decodes, for the vectors
// `Lanes` of an instruction set `Lanes::Set`.
//
// AQE_TARGET, defined before, is the attribute of the instruction set, so that
// what a Method does for each position is compiled into the loop.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/loops/output.h"

namespace aqe {

constexpr int kTilePositions = 24;
constexpr int kMaxPositions = 32;
// A kernel may read rows up to the next multiple of this.
constexpr int kRowsTogether = 4;
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

  // Whether position i - 1 is the left neighbour of position i.
  bool has_left(int i) const {
    return i > 0 && position[i].x == position[i - 1].x + 1;
  }
};

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
    tile->first_output = index * kTilePositions;
    tile->positions = tile->outputs =
        index == tiles_ - 1
            ? static_cast<int>(layer_.out_pixels() - tile->first_output)
            : kTilePositions;
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

// Taps of a window, [begin, end) on both axes; empty where end <= begin.
struct Taps {
  int begin_y, end_y, begin_x, end_x;
};

// What pixels of padding add to the sums of each output channel, as sums over
// the taps above and left of a corner: [y of the corner][x][channels in
// blocks], which is 0 for y = 0 or x = 0.
class TapSums {
 public:
  TapSums() = default;
  TapSums(const Layer& layer, const int32_t* corners)
      : corners_(corners),
        height_(layer.window.height),
        width_(layer.window.width),
        channels_(int64_t{block_count(layer.out_channels)} * kBlock) {}

  static size_t bytes(const Layer& layer) {
    return sizeof(int32_t) * (layer.window.height + 1) *
           (layer.window.width + 1) * block_count(layer.out_channels) * kBlock;
  }

  // Where what a pixel adds at one tap is summed up, before `integrate`.
  static int32_t* at_tap(const Layer& layer, int64_t tap, int32_t* corners) {
    const TapSums sums(layer, corners);
    return corners + sums.corner(tap / sums.width_ + 1, tap % sums.width_ + 1);
  }

  static void integrate(const Layer& layer, int32_t* corners) {
    const TapSums sums(layer, corners);
    for (int64_t y = 1; y <= sums.height_; ++y) {
      for (int64_t x = 1; x <= sums.width_; ++x) {
        for (int64_t c = 0; c < sums.channels_; ++c) {
          corners[sums.corner(y, x) + c] +=
              corners[sums.corner(y - 1, x) + c] +
              corners[sums.corner(y, x - 1) + c] -
              corners[sums.corner(y - 1, x - 1) + c];
        }
      }
    }
  }

  bool is_needed(const Taps& inside) const {
    return corners_ != nullptr &&
           (inside.begin_y > 0 || inside.end_y < height_ ||
            inside.begin_x > 0 || inside.end_x < width_);
  }

  // Takes back what the taps outside have added.
  template <class Set>
  AQE_TARGET void take_back(const Taps& inside, int block, int32_t* acc) const {
    const int32_t* none = corners_ + block * kBlock;
    const int32_t* all = none + corner(height_, width_);
    if (inside.end_y <= inside.begin_y || inside.end_x <= inside.begin_x) {
      Set::combine(none, none, all, none, none, acc);
    } else {
      Set::combine(none + corner(inside.end_y, inside.end_x),
                   none + corner(inside.begin_y, inside.begin_x), all,
                   none + corner(inside.begin_y, inside.end_x),
                   none + corner(inside.end_y, inside.begin_x), acc);
    }
  }

 private:
  int64_t corner(int64_t y, int64_t x) const {
    return (y * (width_ + 1) + x) * channels_;
  }

  const int32_t* corners_ = nullptr;
  int64_t height_ = 0, width_ = 0, channels_ = 0;
};

// Copies the windows of a layer's positions.
template <class Method>
class Gather {
 public:
  Gather(const Layer& layer, const void* constants, const void* input)
      : layer_(layer),
        window_(layer.window),
        constants_(constants),
        input_(static_cast<const char*>(input)),
        in_step_(aqe::pixel_bytes(layer.input, layer.in_channels)),
        step_(Method::pixel_bytes(layer)),
        in_row_(layer.in_width * in_step_),
        row_(window_.width * step_),
        extent_y_((window_.height - 1) * int64_t{window_.dilation_y} + 1),
        extent_x_((window_.width - 1) * int64_t{window_.dilation_x} + 1),
        shared_(
            Method::decodes(layer) && window_.stride_x % window_.dilation_x == 0
                ? std::max(
                      window_.width - window_.stride_x / window_.dilation_x, 0)
                : 0) {}

  // Returns the taps that lie inside the input. Where the patch in front is
  // the left neighbour's and decoding takes longer than copying, the columns of
  // the window that both have come from there.
  AQE_TARGET Taps copy(const Position& at, bool has_left, char* patch) const {
    const int first = has_left ? shared_ : 0;
    const int64_t top = int64_t{at.y} * window_.stride_y - window_.pad_top;
    const int64_t left = int64_t{at.x} * window_.stride_x - window_.pad_left;
    if (top < 0 || top + extent_y_ > layer_.in_height || left < 0 ||
        left + extent_x_ > layer_.in_width)
      return copy_part(at.n, top, left, first, patch);
    int64_t from =
        offset(at.n, top, left + int64_t{first} * window_.dilation_x);
    for (int ky = 0; ky < window_.height; ++ky) {
      copy_shared(first, patch);
      copy_row(input_ + from, window_.width - first, patch + first * step_);
      from += window_.dilation_y * in_row_;
      patch += row_;
    }
    return {0, window_.height, 0, window_.width};
  }

 private:
  AQE_TARGET __attribute__((noinline)) Taps copy_part(int n, int64_t top,
                                                      int64_t left, int first,
                                                      char* patch) const {
    const Taps taps = {
        first_inside(top, window_.dilation_y, window_.height),
        first_beyond(top, window_.dilation_y, window_.height, layer_.in_height),
        first_inside(left, window_.dilation_x, window_.width),
        first_beyond(left, window_.dilation_x, window_.width, layer_.in_width)};
    const int begin = std::max(taps.begin_x, first);
    const int end = std::max(taps.end_x, begin);
    int64_t from = offset(n, top, left + int64_t{begin} * window_.dilation_x);
    for (int ky = 0; ky < window_.height; ++ky) {
      copy_shared(first, patch);
      if (ky < taps.begin_y || ky >= taps.end_y || begin == end) {
        pad(window_.width - first, patch + first * step_);
      } else {
        pad(begin - first, patch + first * step_);
        copy_row(input_ + from, end - begin, patch + begin * step_);
        pad(window_.width - end, patch + end * step_);
      }
      from += window_.dilation_y * in_row_;
      patch += row_;
    }
    return taps;
  }

  int64_t offset(int n, int64_t y, int64_t x) const {
    return (int64_t{n} * layer_.in_height + y) * in_row_ + x * in_step_;
  }

  // Taps of one axis from `start` on; the divisions only at the border.
  static int first_inside(int64_t start, int dilation, int taps) {
    if (start >= 0) return 0;
    return static_cast<int>(
        std::min<int64_t>((dilation - 1 - start) / dilation, taps));
  }
  static int first_beyond(int64_t start, int dilation, int taps, int size) {
    if (start + int64_t{taps - 1} * dilation < size) return taps;
    return start >= size
               ? 0
               : static_cast<int>((size - start + dilation - 1) / dilation);
  }

  // The first columns of a row of the patch, from the patch in front.
  AQE_TARGET void copy_shared(int columns, char* to) const {
    if (columns == 0) return;
    const int64_t neighbour = Method::patch_bytes(layer_);
    Method::Set::copy_words(to - neighbour + (window_.width - columns) * step_,
                            columns * step_ / 4, to);
  }

  AQE_TARGET void copy_row(const char* pixels, int count, char* to) const {
    if (window_.dilation_x == 1) {
      Method::load(layer_, pixels, count, count * in_step_, to);
      return;
    }
    for (int i = 0; i < count; ++i) {
      Method::load(layer_, pixels, 1, in_step_, to);
      pixels += window_.dilation_x * in_step_;
      to += step_;
    }
  }

  AQE_TARGET void pad(int count, char* to) const {
    const char* pixel = Method::pad_pixel(layer_, constants_);
    for (int i = 0; i < count; ++i, to += step_)
      Method::Set::copy_words(pixel, (step_ + 3) / 4, to);
  }

  const Layer& layer_;
  const Window& window_;
  const void* constants_;
  const char* input_;
  int64_t in_step_, step_;  // bytes of a pixel, of a patch's pixel
  int64_t in_row_, row_;    // of a row
  int64_t extent_y_, extent_x_;
  int shared_;  // columns of a window that its left neighbour has as well
};

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
  Method::max(acc + begin * kBlock, tile.height, tile.width * kBlock,
              end - begin, best);
}

template <class Method>
AQE_TARGET void run_tiles(const Layer& layer, const void* constants,
                          const void* input, void* output, void* scratch,
                          int64_t begin, int64_t end) {
  using Acc = typename Method::Acc;
  const Tiling tiling(layer);
  const int blocks = block_count(layer.out_channels);
  const int step = blocks_per_unit<Method>(layer, tiling.tiles());
  const size_t patch_bytes = Method::patch_bytes(layer);
  const Gather<Method> windows(layer, constants, input);
  const TapSums tap_sums = Method::tap_sums(layer, constants);
  auto* patches = static_cast<char*>(scratch);
  auto* acc = reinterpret_cast<Acc*>(patches + kMaxPositions * patch_bytes);

  Tile tile;
  Taps inside[kMaxPositions];
  int64_t gathered = -1;
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t index = unit % tiling.tiles();
    const int first = static_cast<int>(unit / tiling.tiles()) * step;
    if (index != gathered) {
      tiling.locate(index, &tile);
      for (int i = 0; i < tile.positions; ++i) {
        char* patch = patches + i * patch_bytes;
        inside[i] = windows.copy(tile.position[i], tile.has_left(i), patch);
        Method::finish(layer, patch);
      }
      // Read along with the last rows, for nothing; SHIFT looks their bytes up
      // in a table, so they must be codes.
      std::memset(patches + tile.positions * patch_bytes, 0,
                  (round_up(tile.positions, kRowsTogether) - tile.positions) *
                      patch_bytes);
      gathered = index;
    }
    for (int block = first; block < std::min(first + step, blocks); ++block) {
      Method::multiply(layer, constants, patches, tile.positions, block, acc);
      if constexpr (std::is_integral_v<Acc>) {
        for (int i = 0; i < tile.positions; ++i) {
          if (tap_sums.is_needed(inside[i])) {
            tap_sums.take_back<typename Method::Set>(inside[i], block,
                                                     acc + i * kBlock);
          }
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

  static TapSums tap_sums(const Layer&, const void*) { return {}; }
  static bool decodes(const Layer&) { return false; }

  AQE_TARGET static void max(const Acc* acc, int rows, int stride, int columns,
                             Acc* best) {
    Set::template max<Lanes>(acc, rows, stride, columns, best);
  }

  AQE_TARGET static void store(const Layer& layer, const Acc* acc, int block,
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
      case Type::kInt8: {
        auto* codes = reinterpret_cast<int8_t*>(pixel) + first;
        return layer.rounds() ? Set::template store_nearest<Lanes>(
                                    layer, acc, first, count, codes)
                              : Set::template store_int8<Lanes>(
                                    layer, acc, first, count, codes);
      }
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
  AQE_TARGET static void store_packed(const Layer& layer, const Acc* acc,
                                      int block, int count, char* pixel) {
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
