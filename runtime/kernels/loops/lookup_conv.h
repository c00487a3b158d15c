// Convolutions by look-up: the loops. AQE_TARGET, defined before, is the
// attribute of the instruction set.
//
// A tile is some neighbouring positions of one image. Rows of the input become
// rows of indices, one for each index of a pixel; from these the tile has its
// own, one for each tap, in which positions stand side by side. Then each part
// of output channels adds up what its tables say, and the output stage goes
// through channels, eight a byte, still with positions side by side.
//
// A `Set` is an instruction set:
//   kIndexBits                          of a look-up's index
//   kShapes, shape(layer)               of tiles, the one with most registers
//                                       first; that of a layer
//   rest(layer)                         positions at an image's end that are
//                                       not looked up
//   Bytes, kBytes                       a register, its bytes
//   load, store, zero, set(byte), add
//   load_table(table), look_up(table, indices)
//   kHasCodeTables, look_up_code<kTables>(tables, bytes, first)
//                                       in so many tables side by side, which
//                                       begin with byte `first`; beyond either
//                                       end the entry there; of sets whose
//                                       tables may hold codes
//   Wide                                Bytes as 16 bits
//   no_sums(), widen(wide, bytes), narrow(wide, bias)
//                                       0; adds; takes away and limits to bytes
//   store_wide(wide, to)                in order
//   add_passed(passes, bytes, threshold, bit)
//                                       plus bit, in bytes that are threshold
//                                       or more
//   Part, load_part, store_part, store_words(part, to, step)
//                                       16 bytes; two words, so far apart
//   low_bytes(a, b), high_bytes(a, b)   of each 16 bytes of two parts or
//                                       registers, the first or last eight of
//                                       both, in turn
//   interleave_pairs(parts)             pairs of the first part and the first
//                                       of the second half in turn, and so on
//   pair<kFirst, kSecond>(a, b)         of each 16 bytes of two registers, one
//                                       of a's two words and one of b's
//   store_parts(bytes, to, step)        16 bytes each, so many words apart
//   store_sums(part, halved, offset, acc)
//                                       eight times 16 bits as sums
//   slice<kBits>(words, stride, count, indices, to, step)
//                                       so many rows of indices, `step` apart,
//                                       from words of 16, 32 or 64 bits, those
//                                       of a plane `stride` apart; may read and
//                                       write kSlack beyond
//   kLeastSlicedPixels                  from so many planes on indices come
//                                       from pixels instead, a word of each
//                                       plane side by side:
//   slice_pixels<kBits>(pixels, elements, count, indices, to, step)
//                                       `elements` words from one to the next
//   output_bytes(layer), pack_output(layer, constants),
//   store_output(layer, constants, acc, pixels, block, pixel)
//                                       the output stage of sums, of pixels
//                                       side by side
#pragma once

#include "keras_aqe/kernel.h"
#include "kernels/loops/lookup_pack.h"
#include "kernels/loops/lookup_rows.h"
#include "kernels/loops/lookup_sums.h"

namespace aqe::lookup {

// Bytes of the first of some registers and of the first of their second half in
// turn, and so on.
template <class Set, class Register, int kCount>
AQE_TARGET inline void interleave_bytes(Register (&registers)[kCount]) {
  constexpr int kHalf = kCount / 2;
  Register result[kCount];
#pragma GCC unroll 8
  for (int i = 0; i < kHalf; ++i) {
    result[2 * i] = Set::low_bytes(registers[i], registers[kHalf + i]);
    result[2 * i + 1] = Set::high_bytes(registers[i], registers[kHalf + i]);
  }
  std::copy_n(result, kCount, registers);
}

constexpr int kPart = 16;    // bytes
constexpr int kByte = 8;     // channels of a byte
constexpr int kPixels = 32;  // whose sums go through the output stage together
constexpr int kMostSeenRows = 16;

// Neighbours among a tile's positions that are in one row of the output.
struct Run {
  int y, x, count, at;  // `at`: the first, in the tile
};

inline int64_t positions(const Layer& layer) {
  return int64_t{layer.conv_height} * layer.conv_width;
}

// Positions of an image that are looked up.
template <class Set>
int64_t looked_up(const Layer& layer) {
  return positions(layer) - Set::rest(layer);
}

// Registers of these. Each is a unit, since small images have few; a tile has
// as many as are to be computed, up to its shape's.
template <class Set>
int64_t vector_count(const Layer& layer) {
  return (looked_up<Set>(layer) + Set::kBytes - 1) / Set::kBytes;
}

template <class Set>
class Conv {
 public:
  Conv(const Layer& layer, int classes)
      : layer_(layer),
        shape_(Set::shape(layer)),
        at_(layer, Set::kIndexBits, shape_.channels, classes),
        seen_rows_(seen_rows(layer)),
        pitch_(indices_pitch(layer)),
        rows_(layer, at_) {}

  size_t scratch_bytes() const {
    return offsets_bytes() + indices_bytes() + sums_bytes() + planes_bytes() +
           rows_.bytes();
  }

  void run(const void* constants, const void* input, void* output,
           void* scratch, int64_t begin, int64_t end) {
    output_constants_ = static_cast<const char*>(constants);
    constants_ = output_constants_ + Set::output_bytes(layer_);
    std::memcpy(&head_, constants_, sizeof head_);
    // Floats are of whole sums.
    if (layer_.sum.floats != nullptr) head_.fits_bytes = false;
    offsets_ = static_cast<uint32_t*>(scratch);
    find_offsets();
    indices_ = static_cast<uint8_t*>(scratch) + offsets_bytes();
    sums_ = indices_ + indices_bytes();
    planes_ = sums_ + sums_bytes();
    rows_.start(input, constants_ + at_.pad, planes_ + planes_bytes());
    const int64_t vectors = vector_count<Set>(layer_);
    for (int64_t unit = begin, own; unit < end; unit += own) {
      const int64_t n = unit / vectors;
      const int64_t vector = unit % vectors;
      own = std::min({int64_t{shape_.vectors}, vectors - vector, end - unit});
      const int64_t first = vector * Set::kBytes;
      const int count = static_cast<int>(
          std::min(own * Set::kBytes, looked_up<Set>(layer_) - first));
      if (sees_own_pixel(layer_)) {
        rows_.pixels(n * positions(layer_) + first, count, indices_, pitch_);
      } else {
        find_runs(first, count + (seen_rows_ - 1) * layer_.conv_width);
        gather(n);
      }
      if (at_.class_rows > 0) {
        find_runs(first, count);
        find_classes();
      }
      char* pixel = pixel_at(layer_.output, layer_.out_channels, output,
                             n * positions(layer_) + first);
      int64_t part = 0;
      for (int block = 0; block < block_count(layer_.out_channels); ++block) {
        part = add_up_block(block, part, count);
        if (!head_.fits_bytes) {
          store_sums(block, count, pixel);
        } else if (is_packed(layer_.output)) {
          store_packed(block, count, pixel);
        } else {
          store_bytes(block, count,
                      layer_.sums() ? codes_at(layer_, 0, pixel) : pixel);
        }
      }
    }
  }

 private:
  // Rows of the window that see the same rows of indices, as many positions
  // further as a row of outputs has: all of them, or 1 where copies of each
  // take less. Indices are not aligned then, which costs most in a single
  // register.
  static int seen_rows(const Layer& layer) {
    const Window& window = layer.window;
    const bool pays =
        positions(layer) > Set::kBytes &&
        2 * layer.conv_width <= Set::shape(layer).vectors * Set::kBytes;
    return pays && window.stride_y == 1 && window.dilation_y == 1 &&
                   window.height <= kMostSeenRows
               ? window.height
               : 1;
  }
  // Bytes of a run at a time: few where runs are short, which seldom cross
  // cache lines then.
  static int copied(const Layer& layer) {
    return layer.conv_width <= 8 ? 8 : layer.conv_width <= 16 ? 16 : 32;
  }
  // From one row of the tile's indices to the next. The last run is copied
  // beyond its end.
  static int64_t indices_pitch(const Layer& layer) {
    const auto most = std::min<int64_t>(Set::shape(layer).vectors * Set::kBytes,
                                        positions(layer));
    const int64_t seen =
        (seen_rows(layer) - 1) * static_cast<int64_t>(layer.conv_width);
    const int beyond =
        layer.conv_width % copied(layer) == 0 ? 0 : copied(layer) - 1;
    return static_cast<int64_t>(round_up(
        std::max<int64_t>(round_up(most, Set::kBytes), most + beyond) + seen,
        Set::kBytes));
  }
  // Rows of indices that the tile has, before those of classes.
  int64_t own_rows() const {
    return at_.indices.taps / seen_rows_ * at_.indices.pixel;
  }
  size_t indices_bytes() const {
    return (own_rows() + at_.class_rows) * pitch_ + kSlack;
  }
  size_t offsets_bytes() const {
    return round_up(layer_.groups * at_.most_lookups * sizeof(uint32_t), 64);
  }

  // Where the rows of the look-ups of each group stand.
  void find_offsets() {
    const int64_t own = own_rows(), taps = at_.indices.taps / seen_rows_;
    const int channels = layer_.group_channels();
    uint32_t* group = offsets_;
    for (int c = 0; c < layer_.in_channels; c += channels) {
      const int begin = at_.indices.at(c);
      const int end = at_.indices.at(c + channels - 1) + 1;
      uint32_t* to = group;
      for (int y = 0; y < seen_rows_; ++y) {
        for (int64_t tap = 0; tap < taps; ++tap) {
          for (int i = begin; i < end; ++i) {
            *to++ = static_cast<uint32_t>(
                (tap * at_.indices.pixel + i) * pitch_ + y * layer_.conv_width);
          }
        }
      }
      for (int64_t row = own; row < own + at_.class_rows; ++row)
        to = std::fill_n(to, head_.corrections,
                         static_cast<uint32_t>(row * pitch_));
      group += at_.most_lookups;
    }
  }

  static size_t sums_bytes() { return sizeof(uint16_t) * kBlock * kTile<Set>; }
  static size_t planes_bytes() { return 4 * kByte * kTile<Set>; }

  // Below the last row of outputs, too.
  void find_runs(int64_t first, int count) {
    int y = static_cast<int>(first / layer_.conv_width);
    int x = static_cast<int>(first % layer_.conv_width);
    run_count_ = 0;
    for (int at = 0; at < count; ++y, x = 0) {
      const int some = std::min(layer_.conv_width - x, count - at);
      runs_[run_count_++] = {y, x, some, at};
      at += some;
    }
  }

  // The indices of the tile and of the rows below that the window sees.
  void gather(int64_t n) {
    switch (copied(layer_)) {
      case 8:
        return gather_by<8>(n);
      case 16:
        return gather_by<16>(n);
      default:
        gather_by<32>(n);
    }
  }

  // What a run writes too much the next one overwrites, or it comes between two
  // rows.
  template <int kCopied>
  AQE_TARGET void gather_by(int64_t n) {
    const Window& window = layer_.window;
    const int indices = at_.indices.pixel;
    const int64_t from_step = rows_.pitch(), to_step = pitch_;
    for (int i = 0; i < run_count_; ++i) {
      const Run run = runs_[i];
      uint8_t* to = indices_ + run.at;
      for (int ky = 0; ky <= window.height - seen_rows_; ++ky) {
        const uint8_t* row = rows_.row(n, int64_t{run.y} * window.stride_y +
                                              int64_t{ky} * window.dilation_y) +
                             run.x;
        for (int kx = 0; kx < window.width; ++kx) {
          const uint8_t* from = row + rows_.tap_offset(kx);
          for (int k = 0; k < run.count; k += kCopied) {
            for (int index = 0; index < indices; ++index) {
              std::memcpy(to + index * to_step + k,
                          from + index * from_step + k, kCopied);
            }
          }
          to += indices * to_step;
        }
      }
    }
  }

  // What class each position is of, as indices of the rows behind.
  AQE_TARGET void find_classes() {
    const uint8_t* y_classes = bytes_at(at_.row_classes);
    const uint8_t* x_classes = bytes_at(at_.column_classes);
    const int entries = static_cast<int>(at_.table_bytes);
    uint8_t* to = indices_ + own_rows() * pitch_;
    for (int row = 0; row < at_.class_rows; ++row, to += pitch_) {
      for (int i = 0; i < run_count_; ++i) {
        const Run run = runs_[i];
        const auto first = static_cast<uint8_t>(
            y_classes[run.y] * head_.class_columns - row * entries);
        for (int k = 0; k < run.count; ++k) {
          // Below 0 it is more than entries, too.
          const auto number =
              static_cast<uint8_t>(first + x_classes[run.x + k]);
          to[run.at + k] = number < entries ? number : kNone;
        }
      }
    }
  }

  // The sums of a block's channels; returns the part behind.
  int64_t add_up_block(int block, int64_t part, int count) {
    return at_.number_bytes == 1
               ? add_up_block_of<uint8_t>(block, part, count)
               : add_up_block_of<uint16_t>(block, part, count);
  }

  template <class Number>
  AQE_TARGET int64_t add_up_block_of(int block, int64_t part, int count) {
    const auto run = add_up_of<Set, Number>(shape_, count);
    const int own = layer_.out_channels / layer_.groups;
    const int end =
        block * kBlock + channels_in_block(layer_.out_channels, block);
    for (int c = block * kBlock; c < end; ++part) {
      const int channels = part_channels(at_.channels, c, own, end);
      const int64_t group = c < own ? 0 : c / own;  // divisions take long
      run({bytes_at(at_.segments + part * at_.segments_bytes()),
           reinterpret_cast<const Number*>(constants_ + at_.lookups +
                                           part * at_.lookups_bytes()),
           constants_ + at_.table, indices_,
           offsets_ + group * at_.most_lookups},
          reinterpret_cast<const uint16_t*>(constants_ + at_.bias) + c,
          head_.fits_bytes, channels,
          sums_ +
              (c - block * kBlock) * kTile<Set> * (head_.fits_bytes ? 1 : 2));
      c += channels;
    }
    return part;
  }

  void store_packed(int block, int count, char* pixel) {
    switch (layer_.output) {
      case Type::kPacked1:
        return store_planes<1>(block, count, pixel);
      case Type::kPacked2:
        return store_planes<2>(block, count, pixel);
      case Type::kPacked3:
        return store_planes<3>(block, count, pixel);
      default:
        return store_planes<4>(block, count, pixel);
    }
  }

  template <int kBits>
  AQE_TARGET void store_planes(int block, int count, char* pixel) {
    const int channels = channels_in_block(layer_.out_channels, block);
    const int bytes = (channels + kByte - 1) / kByte;
    for (int i = 0; i < bytes; ++i) {
      for (int k = 0; k < count; k += Set::kBytes)
        find_planes<kBits>(block, channels, i, k);
    }
    const int64_t step = pixel_elements(layer_.output, layer_.out_channels);
    auto* words = reinterpret_cast<uint64_t*>(pixel) + int64_t{block} * kBits;
    int whole = 0;
    if (step == kBits) {
      for (; whole + Set::kBytes <= count; whole += Set::kBytes)
        store_whole_planes<kBits>(bytes, whole, words + whole * step);
    }
    for (int p = 0; p < kBits; ++p) {
      for (int k = whole; k < count; k += kPart) {
        typename Set::Part parts[kByte];
        for (int i = 0; i < kByte; ++i) {
          parts[i] =
              i < bytes ? Set::load_part(plane(p, i) + k) : Set::no_part();
        }
        // Three times, from bytes of neighbouring positions to those of one.
        for (int i = 0; i < 3; ++i) interleave_bytes<Set>(parts);
        uint64_t* to = words + k * step + p;
        if (count - k >= kPart) {
          for (int i = 0; i < kByte; ++i, to += 2 * step)
            Set::store_words(parts[i], to, step);
        } else {
          uint64_t all[kPart];
          for (int i = 0; i < kByte; ++i)
            Set::store_words(parts[i], all + 2 * i, 1);
          for (int i = 0; i < count - k; ++i) to[i * step] = all[i];
        }
      }
    }
  }

  // A register of pixels of one word a plane, two pixels of 16 at a time.
  template <int kBits>
  AQE_TARGET void store_whole_planes(int bytes, int first, uint64_t* to) {
    using Bytes = typename Set::Bytes;
    Bytes planes[kBits][kByte];
#pragma GCC unroll 4
    for (int p = 0; p < kBits; ++p) {
#pragma GCC unroll 8
      for (int i = 0; i < kByte; ++i)
        planes[p][i] = i < bytes ? Set::load(plane(p, i) + first) : Set::zero();
      // Three times, from bytes of neighbouring positions to those of one.
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) interleave_bytes<Set>(planes[p]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kByte; ++i) {
      const auto store = [&](int at, Bytes pair) AQE_TARGET {
        Set::store_parts(pair, to + 2 * (i * kBits + at), kPart * kBits);
      };
      if constexpr (kBits == 1) {
        store(0, planes[0][i]);
      } else if constexpr (kBits == 3) {
        store(0, Set::template pair<0, 0>(planes[0][i], planes[1][i]));
        store(1, Set::template pair<0, 1>(planes[2][i], planes[0][i]));
        store(2, Set::template pair<1, 1>(planes[1][i], planes[2][i]));
      } else {
        for (int p = 0; p < kBits; p += 2) {
          store(p / 2,
                Set::template pair<0, 0>(planes[p][i], planes[p + 1][i]));
          store((kBits + p) / 2,
                Set::template pair<1, 1>(planes[p][i], planes[p + 1][i]));
        }
      }
    }
  }

  uint8_t* plane(int p, int byte) const {
    return planes_ + (p * kByte + byte) * kTile<Set>;
  }

  // Byte i of the planes of a register of positions, from `first` on.
  template <int kBits>
  AQE_TARGET void find_planes(int block, int channels, int i, int first) {
    using Bytes = typename Set::Bytes;
    constexpr int kLevels = threshold_count(static_cast<Type>(kBits));
    const int count = std::min(channels - i * kByte, kByte);
    const int64_t channel = int64_t{block} * kBlock + i * kByte;
    const auto* thresholds = bytes_at(at_.thresholds + channel * kLevels);
    const auto* turns = bytes_at(at_.turns + channel / kByte * kLevels);
    Bytes passes[kLevels];
#pragma GCC unroll 16
    for (int k = 0; k < kLevels; ++k) passes[k] = Set::zero();
    for (int c = 0; c < count; ++c) {
      const Bytes sums =
          Set::load(sums_ + (i * kByte + c) * kTile<Set> + first);
      const Bytes bit = Set::set(static_cast<uint8_t>(1 << c));
#pragma GCC unroll 16
      for (int k = 0; k < kLevels; ++k) {
        passes[k] = Set::add_passed(passes[k], sums,
                                    Set::set(thresholds[c * kLevels + k]), bit);
      }
    }
#pragma GCC unroll 16
    for (int k = 0; k < kLevels; ++k)
      passes[k] = passes[k] ^ Set::set(turns[k]);
    const Bytes valid = Set::set(static_cast<uint8_t>((1 << count) - 1));
    constexpr int middle = kBits == 1 ? 1 : (1 << (kBits - 1)) - 1;
    for (int p = 0; p < kBits - 1; ++p) {
      Bytes bits = Set::zero();
      for (int j = 1 << p; j <= middle; j += 1 << p)
        bits = bits ^ (passes[middle - 1 + j] | ~passes[middle - j]);
      Set::store(plane(p, i) + first, bits & valid);
    }
    Set::store(plane(kBits - 1, i) + first, ~passes[middle - 1] & valid);
  }

  // Codes of 8 bits, from sums that are bytes.
  AQE_TARGET void store_bytes(int block, int count, char* pixel) {
    constexpr int kMost = kTile<Set> / Set::kBytes;
    const int channels = channels_in_block(layer_.out_channels, block);
    if (count <= Set::kBytes) {
      find_codes<1>(block, channels);
    } else if (count <= 2 * Set::kBytes) {
      find_codes<2>(block, channels);
    } else {
      find_codes<kMost>(block, channels);
    }
    char* to = pixel + int64_t{block} * kBlock;
    for (int k = 0; k < count; k += Set::kBytes) {
      for (int c = 0; c < channels; c += kPart) {
        typename Set::Bytes codes[kPart];
#pragma GCC unroll 16
        for (int i = 0; i < kPart; ++i)
          codes[i] = Set::load(sums_ + (c + i) * kTile<Set> + k);
        // Four times, from bytes of neighbouring positions to those of one.
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) interleave_bytes<Set>(codes);
        store_pixels(codes, std::min(Set::kBytes, count - k),
                     std::min(kPart, channels - c), to + c);
      }
      to += int64_t{Set::kBytes} * layer_.out_channels;
    }
  }

  // Some bytes of each pixel; register i has those of pixels i, 16 + i and so
  // on.
  AQE_TARGET void store_pixels(const typename Set::Bytes (&codes)[kPart],
                               int count, int some, char* to) const {
    alignas(64) char bytes[kPart * Set::kBytes];
#pragma GCC unroll 16
    for (int i = 0; i < kPart; ++i)
      Set::store(bytes + i * Set::kBytes, codes[i]);
    const int64_t step = layer_.out_channels;
    for (int first = 0; first < count; first += kPart) {
      const int pixels = std::min(kPart, count - first);
      const char* own = bytes + first;
      if (some == kPart) {
        for (int i = 0; i < pixels; ++i, to += step, own += Set::kBytes)
          Set::store_part(to, Set::load_part(own));
      } else {
        for (int i = 0; i < pixels; ++i, to += step, own += Set::kBytes)
          std::memcpy(to, own, some);
      }
    }
  }

  // Codes in the place of the sums of a block's channels.
  template <int kVectors>
  AQE_TARGET void find_codes(int block, int channels) {
    if constexpr (Set::kHasCodeTables) {
      switch (head_.code_tables) {
        case 1:
          return look_up_codes<1, kVectors>(block, channels);
        case 2:
          return look_up_codes<2, kVectors>(block, channels);
        case 4:
          return look_up_codes<4, kVectors>(block, channels);
        default:
          break;
      }
    }
    for (int c = 0; c < channels; ++c) count_passed<kVectors>(block, c);
  }

  template <int kTables, int kVectors>
  AQE_TARGET void look_up_codes(int block, int channels) {
    using Bytes = typename Set::Bytes;
    const char* from = constants_ + at_.codes +
                       int64_t{block} * kBlock * kTables * at_.table_bytes;
    const uint8_t* taken = bytes_at(at_.thresholds) + int64_t{block} * kBlock;
    uint8_t* sums = sums_;
    for (int c = 0; c < channels; ++c, sums += kTile<Set>) {
      const Bytes first = Set::set(taken[c]);
      Bytes tables[kTables];
#pragma GCC unroll 4
      for (int i = 0; i < kTables; ++i, from += at_.table_bytes)
        tables[i] = Set::load_table(from);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        uint8_t* own = sums + v * Set::kBytes;
        Set::store(own, Set::look_up_code(tables, Set::load(own), first));
      }
    }
  }

  // The same of a channel by its thresholds.
  template <int kVectors>
  AQE_TARGET void count_passed(int block, int c) {
    using Bytes = typename Set::Bytes;
    const int64_t channel = int64_t{block} * kBlock + c;
    const uint8_t* thresholds = bytes_at(at_.thresholds + channel * at_.levels);
    const uint8_t* turns = bytes_at(at_.turns + channel / kByte * at_.levels);
    uint8_t* sums = sums_ + c * kTile<Set>;
    Bytes own[kVectors], passed[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      own[v] = Set::load(sums + v * Set::kBytes);
      passed[v] = Set::zero();
    }
    int first = layer_.first_code;
    for (int level = 0; level < at_.levels; ++level) {
      const int turned = turns[level] >> c % kByte & 1;
      first += turned;
      const Bytes threshold = Set::set(thresholds[level]);
      const Bytes bit = Set::set(static_cast<uint8_t>(1 - 2 * turned));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        passed[v] = Set::add_passed(passed[v], own[v], threshold, bit);
    }
    const Bytes start = Set::set(static_cast<uint8_t>(first));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      Set::store(sums + v * Set::kBytes, Set::add(passed[v], start));
  }

  AQE_TARGET void store_sums(int block, int count, char* pixel) {
    const auto* offset =
        reinterpret_cast<const int32_t*>(constants_ + at_.offset) +
        int64_t{block} * kBlock;
    const auto* sums = reinterpret_cast<const uint16_t*>(sums_);
    const int channels = channels_in_block(layer_.out_channels, block);
    const int64_t step = pixel_bytes(layer_.output, layer_.out_channels);
    alignas(64) int32_t acc[kPixels][kBlock];
    for (int first = 0; first < count; first += kPixels) {
      const int pixels = std::min(kPixels, count - first);
      for (int k = 0; k < pixels; k += kByte) {
        for (int c = 0; c < channels; c += kByte) {
          typename Set::Part parts[kByte];
          for (int i = 0; i < kByte; ++i)
            parts[i] = Set::load_part(sums + (c + i) * kTile<Set> + first + k);
          for (int i = 0; i < 3; ++i) Set::interleave_pairs(parts);
          for (int i = 0; i < kByte; ++i)
            Set::store_sums(parts[i], head_.halved, offset + c, acc[k + i] + c);
        }
      }
      Set::store_output(layer_, output_constants_, acc[0], pixels, block,
                        pixel);
      pixel += pixels * step;
    }
  }

  const uint8_t* bytes_at(size_t offset) const {
    return reinterpret_cast<const uint8_t*>(constants_ + offset);
  }

  const Layer& layer_;
  const TileShape shape_;
  const Layout at_;
  const int seen_rows_;
  const int64_t pitch_;
  IndexRows<Set> rows_;
  Head head_;
  const char* output_constants_ = nullptr;
  const char* constants_ = nullptr;
  uint32_t* offsets_ = nullptr;
  uint8_t* indices_ = nullptr;
  uint8_t* sums_ = nullptr;
  uint8_t* planes_ = nullptr;
  int run_count_ = 0;
  Run runs_[kTile<Set> + kMostSeenRows];
};

// Whether half of the registers' bytes are positions, or no other kernel with
// vectors knows the layer.
template <class Set>
bool fills_registers(const Layer& layer) {
  const auto count = static_cast<size_t>(positions(layer));
  return layer.groups > 1 || 2 * count >= round_up(count, Set::kBytes);
}

template <class Set>
struct ConvKernel {
  static constexpr Kernel kernel(const char* name, uint32_t features,
                                 bool (*is_worthwhile)(const Layer&)) {
    return {name,
            Operator::kConv2D,
            width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3),
            width_set(1, 2, 3),
            features,
            kTile<Set>,
            Set::kShapes[0].channels,
            supported,
            constants_bytes,
            pack,
            scratch_bytes,
            units,
            run,
            is_worthwhile};
  }

 private:
  static bool supported(const Layer& layer) {
    return supports(layer, Set::kIndexBits, Set::shape(layer).channels);
  }
  static size_t constants_bytes(const Layer& layer) {
    return Set::output_bytes(layer) + Layout(layer, Set::kIndexBits,
                                             Set::shape(layer).channels,
                                             count_classes(layer))
                                          .end;
  }
  static void pack(const Layer& layer, void* constants) {
    Set::pack_output(layer, constants);
    Packer(layer, Set::kIndexBits, Set::shape(layer).channels,
           static_cast<char*>(constants) + Set::output_bytes(layer))
        .pack();
  }
  static size_t scratch_bytes(const Layer& layer) {
    return Conv<Set>(layer, count_classes(layer)).scratch_bytes();
  }
  static int64_t units(const Layer& layer) {
    return layer.batch * vector_count<Set>(layer);
  }
  static void run(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
    Head head;
    std::memcpy(&head,
                static_cast<const char*>(constants) + Set::output_bytes(layer),
                sizeof head);
    Conv<Set>(layer, head.classes)
        .run(constants, input, output, scratch, begin, end);
  }
};

}  // namespace aqe::lookup
