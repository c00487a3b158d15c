// Rows of the input that are decoded once, for all rows of outputs that see
// them. AQE_TARGET, defined before, is the attribute of the instruction set.
#pragma once

#include <algorithm>

#include "kernels/loops/blocks.h"

namespace aqe {

constexpr int kMostWindowRows = 16;  // of a kernel that keeps their addresses

class DecodedRows {
 public:
  // Room for what `conv_rows` neighbouring rows of the convolution see.
  DecodedRows(const Layer& layer, int conv_rows, size_t pixel_bytes)
      : layer_(layer), pixel_bytes_(pixel_bytes) {
    const Window& window = layer.window;
    rows_ = int64_t{conv_rows - 1} * window.stride_y +
            int64_t{window.height - 1} * window.dilation_y + 1;
    columns_ = int64_t{layer.conv_width - 1} * window.stride_x +
               int64_t{window.width - 1} * window.dilation_x + 1;
    // A kernel may read one position more, and the last pixel may be written as
    // a whole vector of AVX2.
    constexpr size_t kBeyond = 31;
    row_bytes_ = whole_lines(columns_ * pixel_bytes +
                             std::max(window.stride_x * pixel_bytes, kBeyond));
  }

  size_t bytes() const { return keys_bytes() + rows_ * row_bytes_; }

  // Begins to read `input`; `memory` of that size holds nothing yet.
  void start(const void* input, void* memory) {
    input_ = input;
    keys_ = static_cast<int64_t*>(memory);
    std::fill_n(keys_, rows_, -1);
  }

  // Row y of image n, counted from the first row of padding, with padding on
  // both sides; decode(pixels, count, to) writes neighbouring pixels, null
  // being padding. `key` is what rows belong together by, the image or its
  // part.
  template <class Decode>
  AQE_TARGET const char* row(int64_t key, int64_t n, int64_t y,
                             const Decode& decode) {
    const int64_t slot = y % rows_;
    char* const row =
        reinterpret_cast<char*>(keys_) + keys_bytes() + slot * row_bytes_;
    key = (key << 32) + y;
    if (keys_[slot] == key) return row;
    keys_[slot] = key;
    const int64_t in_y = y - layer_.window.pad_top;
    const bool is_inside = in_y >= 0 && in_y < layer_.in_height;
    const int64_t begin = is_inside ? layer_.window.pad_left : columns_;
    const int64_t end = std::min(begin + layer_.in_width, columns_);
    decode(nullptr, begin, row);
    if (begin < end) {
      decode(pixel_at(layer_.input, layer_.in_channels, input_,
                      (n * layer_.in_height + in_y) * layer_.in_width),
             end - begin, row + begin * pixel_bytes_);
    }
    decode(nullptr, columns_ - end, row + end * pixel_bytes_);
    return row;
  }

 private:
  static size_t whole_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }
  // What each row holds, before the rows.
  size_t keys_bytes() const { return whole_lines(rows_ * sizeof(int64_t)); }

  const Layer& layer_;
  const void* input_ = nullptr;
  size_t pixel_bytes_, row_bytes_;
  int64_t rows_, columns_;
  int64_t* keys_ = nullptr;
};

}  // namespace aqe
