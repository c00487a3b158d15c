// Rows of an image's own bytes (rows.h), for whose sums loops/pixels.h stands.
#pragma once

#include "kernels/loops/pixels.h"
#include "kernels/x86/dot_rows.h"

namespace aqe {

// Constants: what the sums start with, int32 of each output channel; TapSums of
// padding; thresholds of whole sums; a pixel of padding; weights
// [block][split][row of the window][step][channel of the split], four bytes
// each. A row's last step is filled up with zeros, which meet bytes of the next
// pixel.
struct PixelLayout {
  int64_t steps_of_row, steps;
  size_t corners, thresholds, pad, weights, end;

  explicit PixelLayout(const Layer& layer) {
    const size_t channels = size_t{kBlock} * block_count(layer.out_channels);
    steps_of_row = static_cast<int64_t>(
        round_up(int64_t{layer.window.width} * layer.in_channels, 4) / 4);
    steps = layer.window.height * steps_of_row;
    corners = channels * sizeof(int32_t);
    thresholds = corners + TapSums::bytes(layer);
    pad = thresholds + round_up(threshold_bytes(layer), 64);
    weights = pad + round_up(layer.in_channels, 64);
    end = weights + steps * channels * 4;
  }
};

template <class Dot>
class PixelRows {
 public:
  using Lanes = typename Dot::Lanes;
  static constexpr int kMostRows = Dot::kMostRows;
  static constexpr int kChannels = kLanes * Dot::kMostVectors;
  static constexpr size_t kBeyond = 3;  // of the last step

  // A weight times a scale is a byte, so small that AVX2 adds up the products
  // with two pixels in 16 bits.
  static bool supports(const Layer& layer) {
    constexpr float kMostWeight = 64;
    return has_whole_sums(layer) &&
           greatest_scale(layer) * max_code(layer.weight_bits) <= kMostWeight;
  }
  static int output_rows(const Layer&) { return 1; }
  static bool is_worthwhile(const Layer&) { return true; }

  static size_t constants_bytes(const Layer& layer) {
    return PixelLayout(layer).end;
  }
  static void pack(const Layer& layer, void* constants) {
    const PixelLayout at(layer);
    auto* bytes = static_cast<char*>(constants);
    pack_offsets(layer, 0, reinterpret_cast<int32_t*>(bytes),
                 reinterpret_cast<int32_t*>(bytes + at.corners));
    std::fill_n(bytes + at.thresholds, at.end - at.thresholds, 0);
    pack_whole_thresholds(layer,
                          reinterpret_cast<int32_t*>(bytes + at.thresholds));
    const int of_row = layer.window.width * layer.in_channels;
    WeightRows rows(layer);
    for (int o = 0; o < layer.out_channels; ++o) {
      const int8_t* codes = rows.codes(o);
      char* row = bytes + at.weights +
                  (o / kChannels * at.steps * kChannels + o % kChannels) * 4;
      for (int y = 0; y < layer.window.height; ++y) {
        for (int i = 0; i < of_row; ++i) {
          const auto scale =
              static_cast<int>(layer.input_scale[i % layer.in_channels]);
          row[i / 4 * (kChannels * 4) + i % 4] =
              static_cast<char>(*codes++ * scale);
        }
        row += at.steps_of_row * kChannels * 4;
      }
    }
  }

  static size_t pixel_bytes(const Layer& layer) { return layer.in_channels; }
  static const char* pad_pixel(const Layer& layer, const void* constants) {
    return static_cast<const char*>(constants) + PixelLayout(layer).pad;
  }
  static void decode(const Layer&, const char* pixels, int, int64_t bytes,
                     char* to) {
    std::memcpy(to, pixels, bytes);
  }
  static TapSums tap_sums(const Layer& layer, const void* constants) {
    return {layer, numbers(constants, PixelLayout(layer).corners)};
  }
  static Layer output_stage(const Layer& layer, const void* constants) {
    return with_thresholds(layer,
                           numbers(constants, PixelLayout(layer).thresholds));
  }

  PixelRows(const Layer& layer, const void* constants)
      : layer_(layer), at_(layer), constants_(constants) {}

  void multiply(const WindowRows* rows, int count, int block, int32_t* acc,
                int64_t acc_of_row) const {
    multiply_window_rows<Dot>(
        layer_, rows, count, layer_.in_channels, at_.steps_of_row, block,
        static_cast<const char*>(constants_) + at_.weights,
        numbers(constants_, 0), acc, acc_of_row);
  }

 private:
  static const int32_t* numbers(const void* constants, size_t at) {
    return reinterpret_cast<const int32_t*>(
        static_cast<const char*>(constants) + at);
  }

  const Layer& layer_;
  const PixelLayout at_;
  const void* const constants_;
};

}  // namespace aqe
