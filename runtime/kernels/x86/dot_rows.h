// Rows of bytes or floats (rows.h), multiplied by a `Dot` (dot_conv.h).
#pragma once

#include "kernels/x86/dot_conv.h"
#include "kernels/x86/rows.h"

namespace aqe {

template <class Dot>
class DotRows {
 public:
  using Lanes = typename Dot::Lanes;
  using Acc = typename Lanes::Acc;
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
    const Window& window = layer_.window;
    const size_t pixel = patch_pixel_bytes(layer_);
    const int channels = channels_in_block(layer_.out_channels, block);
    for (int c = 0; c < channels; c += kChannels) {
      const int64_t channel = int64_t{block} * kBlock + c;
      for (int row = 0; row < count; ++row) {
        multiply_channels<Dot>(channels - c)(
            layer_, rows[row], window.height, window.stride_x * pixel,
            layer_.conv_width,
            constants_ + at_.weights + channel * at_.steps * 4,
            window.width * static_cast<int64_t>(pixel) / 4,
            reinterpret_cast<const Acc*>(constants_ + at_.init) + channel,
            acc + row * acc_of_row + c);
      }
    }
  }

 private:
  const Layer& layer_;
  const DotLayout at_;
  const char* const constants_;
};

}  // namespace aqe
