// Convolutions by look-up: what the constants hold.
//
// A few codes of a pixel, as many as an index of a look-up instruction has bits
// for, are one index. What they add to a sum of an output channel stands in a
// table of that channel's weights, all entries of it raised so that none is
// negative. So a look-up and an addition of bytes do the products of these
// codes for as many positions as a register has bytes, and it does not matter
// how few channels there are.
//
//   sum of the channel = (sum of the entries << halved) - offset
//
// Codes of 1 bit are odd, and so is each product with an odd weight: entries
// are halved. Such codes have none for padding with 0: there the sums get what
// +1 adds, and one look-up more, by the position's class, takes it back. All
// positions of a class have the same taps outside.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "keras_aqe/codes.h"
#include "kernels/loops/blocks.h"
#include "kernels/loops/weights.h"

namespace aqe::lookup {

constexpr int kMostChannels = 8;  // of a shape
constexpr int kMostClasses = 64;
constexpr int kMostEntry = 255;
constexpr int kTogether = 4;  // numbers of tables that are read at once
// Of a class that is another index row's; look-ups in tables of 16 give 0.
constexpr uint8_t kNone = 0x80;

// What is summed up at a time: registers of positions, output channels.
struct TileShape {
  int vectors, channels;
};

// How the codes of a pixel stand in indices. They begin anew at each word of 64
// channels. Bit p * codes + s of an index is plane p of its channel s.
struct Indices {
  int codes;  // of an index
  int word;   // indices of 64 channels
  int pixel;  // of a pixel
  int64_t taps;

  Indices(const Layer& layer, int index_bits)
      : codes(index_bits / bits(layer.input)),
        word((kBlock + codes - 1) / codes),
        pixel(at(layer.in_channels - 1) + 1),
        taps(window_taps(layer)) {}

  int at(int channel) const {
    return channel / kBlock * word + channel % kBlock / codes;
  }
  int slot(int channel) const { return channel % kBlock % codes; }
};

// The taps of one axis that lie inside the input.
struct AxisTaps {
  int64_t begin, end;

  bool operator==(const AxisTaps& other) const {
    return begin == other.begin && end == other.end;
  }
};

inline AxisTaps taps_inside(int64_t position, int stride, int dilation, int pad,
                            int taps, int size) {
  const int64_t start = position * stride - pad;
  AxisTaps inside = {taps, taps};
  for (int tap = taps - 1; tap >= 0; --tap) {
    const int64_t at = start + int64_t{tap} * dilation;
    if (at >= size) inside.end = tap;
    if (at >= 0) inside.begin = tap;
  }
  return inside;
}

// The class of each position of an axis, and the taps of each class.
struct AxisClasses {
  std::vector<uint8_t> of_position;
  std::vector<AxisTaps> taps;

  AxisClasses(int positions, int stride, int dilation, int pad, int window,
              int size) {
    for (int i = 0; i < positions && taps.size() <= kMostClasses; ++i) {
      const AxisTaps own = taps_inside(i, stride, dilation, pad, window, size);
      const auto found = std::find(taps.begin(), taps.end(), own);
      of_position.push_back(static_cast<uint8_t>(found - taps.begin()));
      if (found == taps.end()) taps.push_back(own);
    }
  }
};

struct Classes {
  AxisClasses y, x;

  explicit Classes(const Layer& layer)
      : y(layer.conv_height, layer.window.stride_y, layer.window.dilation_y,
          layer.window.pad_top, layer.window.height, layer.in_height),
        x(layer.conv_width, layer.window.stride_x, layer.window.dilation_x,
          layer.window.pad_left, layer.window.width, layer.in_width) {}

  int count() const { return static_cast<int>(y.taps.size() * x.taps.size()); }
  // Whether a tap lies outside at the positions of a class.
  bool is_outside(int number, int64_t tap, const Window& window) const {
    const AxisTaps& rows = y.taps[number / x.taps.size()];
    const AxisTaps& columns = x.taps[number % x.taps.size()];
    const int64_t ky = tap / window.width, kx = tap % window.width;
    return ky < rows.begin || ky >= rows.end || kx < columns.begin ||
           kx >= columns.end;
  }
};

// 0 where padding needs none.
inline int count_classes(const Layer& layer) {
  return layer.input == Type::kPacked1 && layer.pad_value == 0
             ? Classes(layer).count()
             : 0;
}

// The output channels from `first` on that are summed up at a time: of one
// group of `own` channels, and one block, which ends at `end` if not before.
inline int part_channels(int most, int first, int own, int end) {
  const int before = first < own ? first : first % own;  // divisions take long
  return std::min({most, own - before, kBlock - first % kBlock, end - first});
}

template <class Visit>
void for_each_part(const Layer& layer, int most, Visit visit) {
  const int own = layer.out_channels / layer.groups;
  for (int first = 0, count; first < layer.out_channels; first += count) {
    count = part_channels(most, first, own, layer.out_channels);
    visit(first, count);
  }
}

inline int group_of(const Layer& layer, int channel) {
  return channel / (layer.out_channels / layer.groups);
}

// Indices that a group of input channels touches.
inline int group_indices(const Layer& layer, const Indices& indices) {
  int most = 0;
  const int own = layer.group_channels();
  for (int c = 0; c < layer.in_channels; c += own)
    most = std::max(most, indices.at(c + own - 1) - indices.at(c) + 1);
  return most;
}

// Greatest sum of magnitudes that the weights of a channel can have.
inline int64_t most_weight(const Layer& layer) {
  return layer.weights_per_output() * max_code(layer.weight_bits);
}

// Whether entries that a channel's weights add up to fit 16 bits, and those
// that take padding back: if not for all weights, then for these.
inline bool fits_short_sums(const Layer& layer) {
  const int reach = max_code(bits(layer.input)) + (count_classes(layer) > 0);
  const int64_t most = UINT16_MAX / (2 * reach);
  if (most_weight(layer) <= most) return true;
  if (layer.weights_per_output() > most) return false;  // takes long to know
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    int64_t sum = 0;
    for (int64_t i = 0; i < layer.weights_per_output(); ++i)
      sum += std::abs(codes[i]);
    if (sum > most) return false;
  }
  return true;
}

// Whether codes are bytes that are found in a table, by sums that are bytes:
// those that floats are rounded to, or a quantizer of them alone, and those of
// too many thresholds to be counted. Floats are at hand in neither.
inline bool has_code_table(const Layer& layer, int index_bits) {
  constexpr int kTableBits = 6;  // of instructions that have large ones
  const Sum& sum = layer.sum;
  return index_bits == kTableBits &&
         (layer.sums() ? sum.quantizer_count == 1 && !sum.has_addend &&
                             sum.quantizers[0].rounds()
                       : layer.output == Type::kInt8 && !has_few_codes(layer));
}

// What precedes the constants.
struct Head {
  int32_t halved;
  // Whether sums less a channel's bias are bytes in which all that thresholds
  // tell apart differs.
  int32_t fits_bytes;
  int32_t classes, class_columns;
  int32_t corrections;  // look-ups of a class row
  int32_t code_tables;  // of each output channel: 1, 2, 4
};

// Constants: Head; of each output channel (padded to blocks) int32 offset,
// uint16 bias, its thresholds as bytes [level]; of eight channels which
// comparisons to turn around [level]; classes of rows and columns; the index
// rows of a pixel of padding; of each part the lengths of its segments as
// bytes, which 0 ends, and of each look-up the numbers of its channels' tables,
// bytes where they are few, else uint16; tables; of each output channel the
// tables of its codes, side by side, for which what is taken from bytes first
// stands in the place of thresholds. A segment is as long as its
// sums are bytes. All parts of a group look up the same rows of indices in
// turn, and then those of classes.
struct Layout {
  Indices indices;
  int channels;  // of a part, at most
  int levels;
  int code_tables;  // Head's, at most
  int64_t parts;
  int class_rows = 0, corrections = 0;  // corrections: Head's, at most
  int64_t rows;                         // of indices
  int64_t most_lookups;                 // of a part
  int64_t patterns;  // of weights, if each has its table; else 0
  int64_t tables;
  size_t table_bytes, number_bytes;
  size_t offset, bias, thresholds, turns, row_classes, column_classes, pad,
      segments, lookups, table, codes, end;

  Layout(const Layer& layer, int index_bits, int channels, int classes)
      : indices(layer, index_bits), channels(channels) {
    levels = has_few_codes(layer)                ? layer.levels()
             : has_code_table(layer, index_bits) ? 1
                                                 : 0;
    // Of 3 bits sums go further.
    code_tables = !has_code_table(layer, index_bits)                   ? 0
                  : std::max(bits(layer.input), layer.weight_bits) < 3 ? 2
                                                                       : 4;
    parts = 0;
    for_each_part(layer, channels, [&](int, int) { ++parts; });
    table_bytes = size_t{1} << index_bits;
    if (classes > 0) {
      class_rows = static_cast<int>((classes + table_bytes - 1) / table_bytes);
      corrections = static_cast<int>((2 * most_weight(layer) + kMostEntry - 1) /
                                     kMostEntry);
    }
    rows = indices.taps * indices.pixel + class_rows;
    const int64_t products = indices.taps * group_indices(layer, indices);
    most_lookups = products + class_rows * corrections;
    patterns = 1;
    for (int i = 0; i < indices.codes; ++i) patterns *= weight_levels(layer);
    tables = parts * channels * products;
    if (patterns <= tables) {
      tables = patterns;
    } else {
      patterns = 0;
    }
    tables += parts * channels * class_rows * corrections;
    number_bytes = tables <= 256 ? 1 : 2;

    const size_t all = size_t{kBlock} * block_count(layer.out_channels);
    offset = round_up(sizeof(Head), 64);
    bias = offset + all * sizeof(int32_t);
    thresholds = bias + all * sizeof(uint16_t);
    turns = thresholds + all * levels;
    row_classes = turns + all / 8 * levels;
    column_classes = row_classes + (class_rows ? layer.conv_height : 0);
    pad = column_classes + (class_rows ? layer.conv_width : 0);
    segments = pad + indices.pixel;
    lookups = round_up(segments + parts * segments_bytes(), 64);
    table = round_up(lookups + parts * lookups_bytes(), 64);
    codes = table + tables * table_bytes;
    end = codes + all * code_tables * table_bytes;
  }

  size_t segments_bytes() const { return most_lookups + 1; }
  size_t numbers() const { return round_up(channels, kTogether); }
  size_t lookups_bytes() const {
    return most_lookups * numbers() * number_bytes;
  }
  // Weights that are not there count as 0, or as +1 where there is no 0 and
  // what they meet is not there either.
  static bool has_zero(const Layer& layer) {
    return layer.weight_bits > 1 || layer.groups > 1;
  }
  static int weight_levels(const Layer& layer) {
    return has_zero(layer) ? threshold_count(static_cast<Type>(
                                 std::max(layer.weight_bits, 2))) +
                                 1
                           : 2;
  }
};

inline bool supports(const Layer& layer, int index_bits, int channels) {
  constexpr int kMostSize = 4096, kMostRows = 4096;
  constexpr size_t kMostTableBytes = 512 << 10;
  if (layer.has_pool || layer.conv_height > kMostSize ||
      layer.conv_width > kMostSize || layer.in_channels > kMostSize ||
      layer.out_channels > kMostSize || window_taps(layer) > kMostRows)
    return false;
  const int classes = count_classes(layer);
  if (classes > kMostClasses) return false;
  const Layout at(layer, index_bits, channels, classes);
  return at.rows <= kMostRows &&
         at.tables * at.table_bytes <= kMostTableBytes &&
         fits_short_sums(layer);
}

}  // namespace aqe::lookup
