// Rows of an image's own bytes (rows.h), for whose sums loops/pixels.h stands.
#pragma once

#include "kernels/loops/pixels.h"
#include "kernels/x86/dot_rows.h"

namespace aqe {

// A weight times a scale is to be so small a byte that AVX2 adds up the
// products with two pixels in 16 bits. Where it is not, but all channels have
// one scale, sums of weights alone are multiplied by that: the factor.
inline bool has_small_weights(const Layer& layer) {
  constexpr float kMostWeight = 64;
  return greatest_scale(layer) * max_code(layer.weight_bits) <= kMostWeight;
}
inline int scale_factor(const Layer& layer) {
  return has_small_weights(layer) ? 1 : static_cast<int>(*layer.input_scale);
}

// Constants: what sums start with, int32 of each output channel, and what is
// added once they are multiplied by a factor that is not 1; TapSums of padding;
// thresholds of whole sums; a pixel of padding; weights [block][split][row of
// the window][step][channel of the split], four bytes each. A row's last step
// is filled up with zeros, which meet bytes of the next pixel.
struct PixelLayout {
  int64_t steps_of_row, steps;
  size_t offsets, corners, thresholds, pad, weights, end;

  explicit PixelLayout(const Layer& layer) {
    const size_t channels = size_t{kBlock} * block_count(layer.out_channels);
    steps_of_row = static_cast<int64_t>(
        round_up(int64_t{layer.window.width} * layer.in_channels, 4) / 4);
    steps = layer.window.height * steps_of_row;
    offsets = channels * sizeof(int32_t);
    corners = 2 * offsets;
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

  static bool supports(const Layer& layer) {
    return has_whole_sums(layer) &&
           (has_small_weights(layer) || has_one_scale(layer));
  }
  static int output_rows(const Layer&) { return 1; }
  static bool is_worthwhile(const Layer&) { return true; }

  static size_t constants_bytes(const Layer& layer) {
    return PixelLayout(layer).end;
  }
  static void pack(const Layer& layer, void* constants) {
    const PixelLayout at(layer);
    auto* bytes = static_cast<char*>(constants);
    const int factor = scale_factor(layer);
    std::fill_n(bytes, at.corners, 0);
    pack_offsets(
        layer, 0,
        reinterpret_cast<int32_t*>(bytes + (factor == 1 ? 0 : at.offsets)),
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
          const int scale =
              static_cast<int>(layer.input_scale[i % layer.in_channels]) /
              factor;
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
      : layer_(layer),
        at_(layer),
        factor_(scale_factor(layer)),
        constants_(constants) {}

  void multiply(const WindowRows* rows, int count, int block, int32_t* acc,
                int64_t acc_of_row) const {
    multiply_window_rows<Dot>(
        layer_, rows, count, layer_.in_channels, at_.steps_of_row, block,
        static_cast<const char*>(constants_) + at_.weights,
        numbers(constants_, 0), acc, acc_of_row);
    for (int row = 0; row < count && factor_ != 1; ++row)
      scale(block, acc + row * acc_of_row);
  }

 private:
  // A row of sums.
  AQE_TARGET void scale(int block, int32_t* acc) const {
    using Set = typename Lanes::Set;
    const int32_t* offsets =
        numbers(constants_, at_.offsets) + int64_t{block} * kBlock;
    const int count = channels_in_block(layer_.out_channels, block);
    for (int x = 0; x < layer_.conv_width; ++x, acc += kBlock) {
      for (int i = 0; i < count; i += kLanes) {
        const auto scaled =
            Set::multiply(Lanes::load(acc + i), Set::set(factor_));
        Lanes::store(acc + i, Set::add(scaled, Lanes::load(offsets + i)));
      }
    }
  }

  static const int32_t* numbers(const void* constants, size_t at) {
    return reinterpret_cast<const int32_t*>(
        static_cast<const char*>(constants) + at);
  }

  const Layer& layer_;
  const PixelLayout at_;
  const int factor_;
  const void* const constants_;
};

}  // namespace aqe
