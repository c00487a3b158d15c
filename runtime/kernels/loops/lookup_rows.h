// Convolutions by look-up: rows of the input as rows of indices, for the tiles
// of lookup_conv.h, which says what a `Set` is. AQE_TARGET, defined before, is
// the attribute of the instruction set.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/loops/lookup_layout.h"

#ifndef AQE_TARGET
#error "the header of the instruction set comes first"
#endif

namespace aqe::lookup {

constexpr int kSlack = 64;  // bytes or words behind rows

template <class Set>
constexpr int kTile = Set::kBytes * Set::kShapes[0].vectors;

// Whether each window is the pixel at its own place.
inline bool sees_own_pixel(const Layer& layer) {
  const Window& window = layer.window;
  return window_taps(layer) == 1 && window.stride_x == 1 &&
         window.pad_top == 0 && window.pad_left == 0 &&
         layer.conv_height == layer.in_height &&
         layer.conv_width == layer.in_width;
}

// With padding on both sides. Columns whose number has the same rest by the
// stride, a phase, stand side by side.
template <class Set>
class IndexRows {
 public:
  IndexRows(const Layer& layer, const Layout& at)
      : layer_(layer),
        window_(layer.window),
        at_(at.indices),
        indices_(at.indices.pixel) {
    const int64_t columns = int64_t{layer.conv_width - 1} * window_.stride_x +
                            int64_t{window_.width - 1} * window_.dilation_x + 1;
    columns_ = (columns + window_.stride_x - 1) / window_.stride_x;
    pitch_ = whole_lines(columns_ + kSlack);
    row_bytes_ = pitch_ * window_.stride_x * indices_;
    const int64_t most = std::min<int64_t>(
        layer.conv_height,
        (kTile<Set> + layer.conv_width - 2) / layer.conv_width + 1);
    const int64_t seen = (most - 1) * window_.stride_y +
                         int64_t{window_.height - 1} * window_.dilation_y + 1;
    for (rows_ = 1; rows_ < seen;) rows_ *= 2;
    if (sees_own_pixel(layer)) rows_ = 0;
  }

  size_t bytes() const {
    return keys_bytes() + words_bytes() + rows_ * row_bytes_;
  }

  // Begins to read `input`; `pad` are the indices of a pixel of padding.
  void start(const void* input, const char* pad, void* memory) {
    input_ = input;
    pad_ = pad;
    keys_ = static_cast<int64_t*>(memory);
    std::fill_n(keys_, rows_, -1);
    words_ =
        reinterpret_cast<uint64_t*>(static_cast<char*>(memory) + keys_bytes());
    data_ = reinterpret_cast<uint8_t*>(words_) + words_bytes();
  }

  // Where in a row the indices stand of the pixels that tap kx of its windows
  // sees, from the first window on; those of each index, `pitch` apart.
  int64_t tap_offset(int kx) const {
    const int64_t column = int64_t{kx} * window_.dilation_x;
    if (window_.stride_x == 1) return column;  // divisions take long
    return column % window_.stride_x * indices_ * pitch_ +
           column / window_.stride_x;
  }
  int64_t pitch() const { return pitch_; }

  // Instead of rows, where windows see their own pixels: the indices of some
  // from the first on, those of each index `step` apart.
  AQE_TARGET void pixels(int64_t first, int64_t count, uint8_t* to,
                         int64_t step) const {
    slice(pixel_at(layer_.input, layer_.in_channels, input_, first), count, to,
          step);
  }

  // Row y of image n, counted from the first row of padding.
  AQE_TARGET const uint8_t* row(int64_t n, int64_t y) {
    const int64_t slot = y & (rows_ - 1);
    uint8_t* const row = data_ + slot * row_bytes_;
    const int64_t key = (n << 32) + y;
    if (keys_[slot] == key) return row;
    keys_[slot] = key;
    const int64_t in_y = y - window_.pad_top;
    const bool is_inside = in_y >= 0 && in_y < layer_.in_height;
    for (int phase = 0; phase < window_.stride_x; ++phase) {
      uint8_t* to = row + phase * indices_ * pitch_;
      if (is_inside) {
        fill(pixel_at(layer_.input, layer_.in_channels, input_,
                      (n * layer_.in_height + in_y) * layer_.in_width),
             phase, to);
      } else {
        pad(0, columns_, to);
      }
    }
    return row;
  }

 private:
  static size_t whole_lines(size_t bytes) { return round_up(bytes, 64); }
  size_t keys_bytes() const { return whole_lines(rows_ * sizeof(int64_t)); }
  // Words of one plane of a row's pixels, 64 channels of them.
  int64_t words_pitch() const {
    return std::max<int64_t>(columns_, rows_ == 0 ? kTile<Set> : 0) + kSlack;
  }
  size_t words_bytes() const {
    return whole_lines(words_pitch() * sizeof(uint64_t) * bits(layer_.input));
  }

  // May write kSlack beyond.
  AQE_TARGET void pad(int64_t begin, int64_t end, uint8_t* to) const {
    if (begin >= end) return;
    for (int i = 0; i < indices_; ++i, to += pitch_) {
      const auto index = Set::set(static_cast<uint8_t>(pad_[i]));
      for (int64_t k = begin; k < end; k += Set::kBytes)
        Set::store(to + k, index);
    }
  }

  // The columns of one phase.
  AQE_TARGET void fill(const char* pixels, int phase, uint8_t* to) const {
    const int stride = window_.stride_x;
    // Those before the column with padding that has this number.
    const auto before = [&](int64_t column) {
      return std::clamp<int64_t>((column - phase + stride - 1) / stride, 0,
                                 columns_);
    };
    const int64_t begin = before(window_.pad_left);
    const int64_t end = before(int64_t{window_.pad_left} + layer_.in_width);
    // In this order, since each writes beyond its end.
    pad(0, begin, to);
    if (begin < end) {
      pixels += (begin * stride + phase - window_.pad_left) *
                pixel_bytes(layer_.input, layer_.in_channels);
      slice(pixels, end - begin, to + begin, pitch_);
    }
    pad(end, columns_, to);
  }

  AQE_TARGET void slice(const char* pixels, int64_t count, uint8_t* to,
                        int64_t step) const {
    const auto* from = reinterpret_cast<const uint64_t*>(pixels);
    switch (layer_.input) {
      case Type::kPacked1:
        return slice_channels<1>(from, count, to, step);
      case Type::kPacked2:
        return slice_channels<2>(from, count, to, step);
      default:
        slice_channels<3>(from, count, to, step);
    }
  }

  // In words as short as hold the channels.
  template <int kBits>
  AQE_TARGET void slice_channels(const uint64_t* pixels, int64_t count,
                                 uint8_t* to, int64_t step) const {
    if constexpr (kBits >= Set::kLeastSlicedPixels) {
      const int64_t elements =
          pixel_elements(layer_.input, layer_.in_channels) * window_.stride_x;
      for (int word = 0; word < words(layer_.in_channels); ++word) {
        Set::template slice_pixels<kBits>(pixels + int64_t{word} * kBits,
                                          elements, count, indices_of(word), to,
                                          step);
        to += at_.word * step;
      }
    } else if (layer_.in_channels <= 16) {
      slice_words<kBits, uint16_t, kBits>(pixels, count, to, step);
    } else if (layer_.in_channels <= 32) {
      slice_words<kBits, uint32_t, kBits>(pixels, count, to, step);
    } else if (layer_.in_channels <= kBlock) {
      slice_words<kBits, uint64_t, kBits>(pixels, count, to, step);
    } else {
      slice_words<kBits, uint64_t, 0>(pixels, count, to, step);
    }
  }

  int indices_of(int word) const {
    return (channels_in_block(layer_.in_channels, word) + at_.codes - 1) /
           at_.codes;
  }

  // Pixels of kElements words, if that is not 0.
  template <int kBits, class Word, int kElements>
  AQE_TARGET void slice_words(const uint64_t* from, int64_t count, uint8_t* to,
                              int64_t step) const {
    const int64_t elements =
        kElements != 0 ? kElements
                       : pixel_elements(layer_.input, layer_.in_channels);
    auto* parted = reinterpret_cast<Word*>(words_);
    for (int word = 0; word < words(layer_.in_channels); ++word) {
      for (int p = 0; p < kBits; ++p, ++from) {
        Word* plane = parted + p * words_pitch();
        if (window_.stride_x == 1) {
          for (int64_t i = 0; i < count; ++i)
            plane[i] = static_cast<Word>(from[i * elements]);
        } else {
          const int64_t apart = elements * window_.stride_x;
          for (int64_t i = 0; i < count; ++i)
            plane[i] = static_cast<Word>(from[i * apart]);
        }
      }
      Set::template slice<kBits>(parted, words_pitch(), count, indices_of(word),
                                 to, step);
      to += at_.word * step;
    }
  }

  const Layer& layer_;
  const Window& window_;
  const Indices at_;
  const int indices_;
  int64_t columns_, pitch_, row_bytes_, rows_;
  const void* input_ = nullptr;
  const char* pad_ = nullptr;
  int64_t* keys_ = nullptr;
  uint64_t* words_ = nullptr;
  uint8_t* data_ = nullptr;
};

}  // namespace aqe::lookup
