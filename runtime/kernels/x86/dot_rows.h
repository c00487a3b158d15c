// Rows of bytes or floats (rows.h), multiplied by a `Dot` (dot_conv.h).
#pragma once

#include "kernels/x86/dot_conv.h"
#include "kernels/x86/rows.h"

namespace aqe {

// Sums of a block at all positions of some rows of the convolution. A row of
// the window is so many steps; `weights` and `init` are those of all blocks.
template <class Dot>
void multiply_window_rows(const Layer& layer, const WindowRows* rows, int count,
                          size_t pixel_bytes, int64_t steps_of_row, int block,
                          const char* weights,
                          const typename Dot::Lanes::Acc* init,
                          typename Dot::Lanes::Acc* acc, int64_t acc_of_row) {
  constexpr int kChannels = kLanes * Dot::kMostVectors;
  const Window& window = layer.window;
  const int channels = channels_in_block(layer.out_channels, block);
  for (int c = 0; c < channels; c += kChannels) {
    const int64_t channel = int64_t{block} * kBlock + c;
    for (int row = 0; row < count; ++row) {
      multiply_channels<Dot>(channels - c)(
          layer, rows[row], window.height, window.stride_x * pixel_bytes,
          layer.conv_width,
          weights + channel * window.height * steps_of_row * 4, steps_of_row,
          init + channel, acc + row * acc_of_row + c);
    }
  }
}

template <class Dot>
class DotRows : public ValueRows<typename Dot::Lanes> {
 public:
  using Acc = typename Dot::Lanes::Acc;
  static constexpr int kMostRows = Dot::kMostRows;
  static constexpr int kChannels = DotConv<Dot>::kChannels;
  static constexpr size_t kBeyond = 0;
  static constexpr auto constants_bytes = dot_constants_bytes;
  static constexpr auto pack = pack_dot<kChannels>;
  static constexpr auto pad_pixel = DotConv<Dot>::pad_pixel;

  static int output_rows(const Layer&) { return 1; }

  // Weights pass by once for each row of outputs.
  static bool is_worthwhile(const Layer& layer) {
    constexpr int kLongRow = 12;
    constexpr size_t kNear = 3 << 19;
    return layer.conv_width >= kLongRow || dot_constants_bytes(layer) <= kNear;
  }

  DotRows(const Layer& layer, const void* constants)
      : layer_(layer),
        at_(layer),
        constants_(static_cast<const char*>(constants)) {}

  void multiply(const WindowRows* rows, int count, int block, Acc* acc,
                int64_t acc_of_row) const {
    multiply_window_rows<Dot>(
        layer_, rows, count, patch_pixel_bytes(layer_),
        at_.steps / layer_.window.height, block, constants_ + at_.weights,
        reinterpret_cast<const Acc*>(constants_ + at_.init), acc, acc_of_row);
  }

 private:
  const Layer& layer_;
  const DotLayout at_;
  const char* const constants_;
};

}  // namespace aqe
