// Convolutions and dense layers of codes by AMX: 16 positions times 16 output
// channels times 64 inputs at a time. The instruction set's header comes first;
// a `Tiles` (amx_tiles.h) is what multiplies.
//
// Two groups of up to 16 positions meet two splits of 16 channels, so that of
// the eight tiles four hold sums, two inputs, two weights. Groups of a row are
// as long as each other, since that is what the tiles are configured for; the
// last one begins a little earlier instead of being shorter.
#pragma once

#include <algorithm>
#include <numeric>

#include "kernels/loops/tiles.h"
#include "kernels/loops/weights.h"
#include "kernels/x86/amx_cost.h"
#include "kernels/x86/amx_tiles.h"
#include "kernels/x86/byte_patches.h"
#include "kernels/x86/output.h"
#include "kernels/x86/rows.h"

namespace aqe {
namespace amx {

constexpr int kSplits = kBlock / kSplit;
constexpr size_t kWeightTile = size_t{kTileRows} * kTileBytes;

// Constants: what the sums start with, int32 of each output channel; a pixel of
// padding; weights [block][split][part][chunk], a tile each: [four
// inputs][channel][input]. A part is what lies side by side in the input, a row
// of the window or, in a patch, all of it; its last chunk is filled up with
// zeros, which meet bytes of whatever is behind.
struct Layout {
  int parts;
  int64_t chunks;  // of a part
  size_t pad, weights, end;

  Layout(const Layer& layer, int parts_of_window) : parts(parts_of_window) {
    const size_t channels = size_t{kBlock} * block_count(layer.out_channels);
    const size_t part_bytes =
        window_taps(layer) / parts * patch_pixel_bytes(layer);
    chunks = static_cast<int64_t>((part_bytes + kTileBytes - 1) / kTileBytes);
    pad = channels * sizeof(int32_t);
    weights = pad + round_up(patch_pixel_bytes(layer), 64);
    end = weights + channels / kSplit * split_bytes();
  }
  static Layout of_rows(const Layer& layer) {
    return {layer, layer.window.height};
  }
  static Layout of_patches(const Layer& layer) { return {layer, 1}; }

  size_t split_bytes() const { return parts * chunks * kWeightTile; }
};

inline void pack(const Layer& layer, const Layout& at, void* constants) {
  auto* bytes = static_cast<char*>(constants);
  std::fill_n(bytes, at.end, 0);
  auto* init = reinterpret_cast<int32_t*>(bytes);
  fill_pad_pixel(layer, bytes + at.pad);
  WeightRows rows(layer);
  const int64_t pixels = window_taps(layer) / at.parts;  // of a part
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    init[o] = take_back(
        layer.input,
        std::accumulate(codes, codes + layer.weights_per_output(), int64_t{0}));
    char* part =
        bytes + at.weights + o / kSplit * at.split_bytes() + o % kSplit * 4;
    for (int i = 0; i < at.parts; ++i, part += at.chunks * kWeightTile) {
      char* step = part;
      for (int64_t pixel = 0; pixel < pixels; ++pixel) {
        for (int c = 0; c < layer.in_channels; c += 4, step += kTileBytes) {
          const int count = std::min(layer.in_channels - c, 4);
          std::copy_n(codes, count, step);
          codes += count;
        }
      }
    }
  }
}

// Multiplies on one thread; afterwards its tiles are free.
template <class Tiles>
class Multiplier {
 public:
  Multiplier(const Layer& layer, const Layout& at, const void* constants)
      : layer_(layer),
        at_(at),
        constants_(static_cast<const char*>(constants)) {}
  ~Multiplier() {
    if (group_ != 0) tiles_.release();
  }
  Multiplier(const Multiplier&) = delete;
  Multiplier& operator=(const Multiplier&) = delete;

  // Sums of one block at `positions` positions of each of some rows, where
  // rows[i][part] is the first position's; the next is `stride` bytes behind.
  void multiply(const WindowRows* rows, int row_count, size_t stride,
                int positions, int block, int32_t* acc, int64_t acc_of_row) {
    const int groups = (positions + kTileRows - 1) / kTileRows;
    configure((positions + groups - 1) / groups);
    const int splits = parts_of_block(layer_, block, kSplit);
    const auto group_at = [&](int index) {
      const int row = index / groups;
      const int first = std::min(index % groups * group_, positions - group_);
      return Group{rows[row], first * stride,
                   acc + row * acc_of_row + int64_t{first} * kBlock};
    };
    const int all = row_count * groups;
    for (int split = 0; split < splits; split += 2) {
      const int first = block * kSplits + split;
      for (int index = 0; index < all; index += 2) {
        const Group pair[] = {group_at(index),
                              group_at(std::min(index + 1, all - 1))};
        const bool two_splits = split + 1 < splits, two = index + 1 < all;
        const auto run = two          ? two_splits ? &Multiplier::add_up<2, 2>
                                                   : &Multiplier::add_up<2, 1>
                         : two_splits ? &Multiplier::add_up<1, 2>
                                      : &Multiplier::add_up<1, 1>;
        (this->*run)(pair, stride, first, split * kSplit);
      }
    }
  }

 private:
  // Positions of a tile.
  struct Group {
    const char* const* parts;
    size_t offset;
    int32_t* acc;
  };
  // Tiles of sums [group][split], of inputs, of weights.
  static constexpr int kSums = 0, kInputs = 4, kWeights = 6;

  void configure(int group) {
    if (group == group_) return;
    group_ = group;
    TileConfig config;
    for (int tile = 0; tile < kTileCount; ++tile) {
      config.rows[tile] =
          static_cast<uint8_t>(tile < kWeights ? group : kTileRows);
      config.bytes_of_row[tile] = kTileBytes;
    }
    tiles_.configure(config);
  }

  template <int kGroups, int kSplitTiles>
  AQE_TARGET void add_up(const Group* groups, size_t stride, int first_split,
                         int channel) {
    constexpr size_t kAccStride = kBlock * sizeof(int32_t);
    const auto* init = reinterpret_cast<const int32_t*>(constants_) +
                       int64_t{first_split} * kSplit;
    // The same for every position.
    tiles_.template load<kSums>(init, 0);
    if constexpr (kSplitTiles == 2)
      tiles_.template load<kSums + 1>(init + kSplit, 0);
    if constexpr (kGroups == 2) tiles_.template load<kSums + 2>(init, 0);
    if constexpr (kGroups == 2 && kSplitTiles == 2)
      tiles_.template load<kSums + 3>(init + kSplit, 0);
    // What a tile writes could be anything, for all that compilers know.
    const size_t split_bytes = at_.split_bytes();
    const int64_t chunks = at_.chunks;
    const char* weights = constants_ + at_.weights + first_split * split_bytes;
    for (int part = 0; part < at_.parts; ++part) {
      const char* inputs[kGroups];
      for (int g = 0; g < kGroups; ++g)
        inputs[g] = groups[g].parts[part] + groups[g].offset;
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        tiles_.template load<kWeights>(weights, kTileBytes);
        tiles_.template load<kInputs>(inputs[0] + chunk * kTileBytes, stride);
        tiles_.template add_products<kSums, kInputs, kWeights>();
        if constexpr (kSplitTiles == 2) {
          tiles_.template load<kWeights + 1>(weights + split_bytes, kTileBytes);
          tiles_.template add_products<kSums + 1, kInputs, kWeights + 1>();
        }
        if constexpr (kGroups == 2) {
          tiles_.template load<kInputs + 1>(inputs[1] + chunk * kTileBytes,
                                            stride);
          tiles_.template add_products<kSums + 2, kInputs + 1, kWeights>();
        }
        if constexpr (kGroups == 2 && kSplitTiles == 2)
          tiles_.template add_products<kSums + 3, kInputs + 1, kWeights + 1>();
        weights += kWeightTile;
      }
    }
    tiles_.template store<kSums>(groups[0].acc + channel, kAccStride);
    if constexpr (kSplitTiles == 2)
      tiles_.template store<kSums + 1>(groups[0].acc + channel + kSplit,
                                       kAccStride);
    if constexpr (kGroups == 2)
      tiles_.template store<kSums + 2>(groups[1].acc + channel, kAccStride);
    if constexpr (kGroups == 2 && kSplitTiles == 2)
      tiles_.template store<kSums + 3>(groups[1].acc + channel + kSplit,
                                       kAccStride);
  }

  const Layer& layer_;
  const Layout at_;
  const char* const constants_;
  Tiles tiles_;
  int group_ = 0;  // positions that the tiles are configured for
};

template <class Tiles>
class Rows : public ValueRows<Int32Lanes> {
 public:
  static constexpr int kMostRows = kTileRows, kChannels = kSplit;
  static constexpr size_t kBeyond = kTileBytes;

  static size_t constants_bytes(const Layer& layer) {
    return Layout::of_rows(layer).end;
  }
  static void pack(const Layer& layer, void* constants) {
    amx::pack(layer, Layout::of_rows(layer), constants);
  }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) + Layout::of_rows(layer).pad;
  }
  static int output_rows(const Layer& layer) {
    return output_rows_together(layer);
  }
  static bool is_worthwhile(const Layer& layer) {
    return rows_cycles(layer) < patches_cycles(layer) &&
           rows_cycles(layer) < other_cycles(layer);
  }

  Rows(const Layer& layer, const void* constants)
      : layer_(layer), multiplier_(layer, Layout::of_rows(layer), constants) {}

  void multiply(const WindowRows* rows, int count, int block, int32_t* acc,
                int64_t acc_of_row) {
    multiplier_.multiply(rows, count,
                         layer_.window.stride_x * patch_pixel_bytes(layer_),
                         layer_.conv_width, block, acc, acc_of_row);
  }

 private:
  const Layer& layer_;
  Multiplier<Tiles> multiplier_;
};

// For the loop over tiles of positions (loops/tiles.h).
template <class Tiles>
struct Patches : VectorOutput<Int32Lanes> {
  static constexpr int kRows = kTileRows, kChannels = kSplit;

  static size_t constants_bytes(const Layer& layer) {
    return Layout::of_patches(layer).end;
  }
  static void pack(const Layer& layer, void* constants) {
    amx::pack(layer, Layout::of_patches(layer), constants);
  }
  static bool is_worthwhile(const Layer& layer) {
    return patches_cycles(layer) < other_cycles(layer);
  }

  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  static size_t patch_bytes(const Layer& layer) {
    return Layout::of_patches(layer).chunks * kTileBytes;
  }
  static size_t block_bytes(const Layer& layer) {
    return Layout::of_patches(layer).split_bytes() * kSplits;
  }
  AQE_TARGET static void load(const Layer& layer, const char* pixels, int count,
                              int64_t bytes, char* to) {
    load_pixels<Set>(layer, pixels, count, bytes, to);
  }
  static bool decodes(const Layer&) { return true; }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) + Layout::of_patches(layer).pad;
  }
  static void finish(const Layer&, char*) {}

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, Acc* acc) {
    const WindowRows parts = {patches};
    Multiplier<Tiles>(layer, Layout::of_patches(layer), constants)
        .multiply(&parts, 1, patch_bytes(layer), rows, block, acc, 0);
  }

  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(Patches());
  }
  static constexpr Kernel kernel(const char* name, Operator op,
                                 uint32_t features) {
    Kernel kernel = TiledKernel<Patches>::kernel(name, op, kCodeWidths,
                                                 kWeightWidths, features);
    kernel.is_worthwhile = is_worthwhile;
    return kernel;
  }
};

}  // namespace amx
}  // namespace aqe
