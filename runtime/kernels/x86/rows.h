// Convolutions as sums of products, without patches: rows of the input are
// decoded once, and where taps are side by side, so are the bytes or floats of
// a window's row. Those of the next position are a stride behind.
//
// A `Product` says how rows are multiplied:
//   Lanes                         its vectors
//   kMostRows, kChannels          positions and output channels at a time
//   kBeyond                       bytes that it may read behind a row
//   supports(layer)
//   constants_bytes(layer), pack(layer, constants)
//   pixel_bytes(layer)            of a decoded pixel
//   decode(layer, pixels, count, bytes, to)
//                                 so many neighbouring pixels, so many bytes of
//                                 the input
//   pad_pixel(layer, constants)   a decoded pixel of padding
//   tap_sums(layer, constants)    what padding adds to sums, to be taken back
//   output_stage(layer, constants)
//                                 the layer as sums go on from there
//   output_rows(layer)            rows of outputs at a time, if not pooled
//   is_worthwhile(layer)
//   Product(layer, constants)     of a thread, while it runs
//   multiply(rows, count, block, acc, acc_of_row)
//                                 64 sums of all positions of so many rows of
//                                 the convolution; rows[i] are those of the
//                                 input below row i
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/loops/decoded_rows.h"
#include "kernels/x86/byte_patches.h"
#include "kernels/x86/output.h"

namespace aqe {

constexpr int kMostConvRows = 4;  // at a time

// Where the rows of the input below a row of the convolution lie.
using WindowRows = const char* [kMostWindowRows];

// What a Product of codes or floats says of its rows.
template <class OwnLanes>
struct ValueRows {
  using Lanes = OwnLanes;

  static bool supports(const Layer&) { return true; }
  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  AQE_TARGET static void decode(const Layer& layer, const char* pixels,
                                int count, int64_t bytes, char* to) {
    load_pixels<typename Lanes::Set>(layer, pixels, count, bytes, to);
  }
  static TapSums tap_sums(const Layer&, const void*) { return {}; }
  static const Layer& output_stage(const Layer& layer, const void*) {
    return layer;
  }
};

template <class Product>
struct RowsKernel {
  using Lanes = typename Product::Lanes;
  using Acc = typename Lanes::Acc;

  static constexpr Kernel kernel(const char* name, WidthSet inputs,
                                 uint32_t features) {
    return {name,
            Operator::kConv2D,
            inputs,
            kWeightWidths,
            features,
            Product::kMostRows,
            Product::kChannels,
            supports,
            Product::constants_bytes,
            Product::pack,
            scratch_bytes,
            units,
            run,
            Product::is_worthwhile};
  }

 private:
  // Neighbouring rows of the convolution, and where their sums lie: in turns in
  // as many places as there are rows below one of outputs.
  struct ConvRows {
    int first, count, places;

    int place(int row) const { return (first + row) % places; }
  };

  static int output_rows(const Layer& layer) {
    return layer.has_pool ? 1 : Product::output_rows(layer);
  }

  // Rows of the convolution that belong to those rows of outputs, at most.
  static int most_conv_rows(const Layer& layer) {
    return layer.has_pool ? layer.pool.height : output_rows(layer);
  }

  static ConvRows conv_rows(const Layer& layer, int y, int rows) {
    const int places = most_conv_rows(layer);
    if (!layer.has_pool) return {y, rows, places};
    const int top = y * layer.pool.stride_y - layer.pool.pad_top;
    const int first = std::max(top, 0);
    return {first, std::min(top + layer.pool.height, layer.conv_height) - first,
            places};
  }

  // Whether rows of outputs share rows of the convolution, whose sums of all
  // blocks are kept for the next.
  static bool keeps_sums(const Layer& layer) {
    return layer.has_pool && layer.pool.stride_y < layer.pool.height;
  }

  static DecodedRows decoded_rows(const Layer& layer) {
    return DecodedRows(layer, most_conv_rows(layer),
                       Product::pixel_bytes(layer));
  }

  // Sums of a row of the convolution, one position more if their number is odd.
  static int64_t acc_of_row(const Layer& layer) {
    return kBlock * static_cast<int64_t>(round_up(layer.conv_width, 2));
  }

  static int64_t acc_of_block(const Layer& layer) {
    return keeps_sums(layer) ? most_conv_rows(layer) * acc_of_row(layer) : 0;
  }

  static size_t acc_bytes(const Layer& layer) {
    return sizeof(Acc) *
           (most_conv_rows(layer) * acc_of_row(layer) +
            (block_count(layer.out_channels) - 1) * acc_of_block(layer));
  }

  static bool supports(const Layer& layer) {
    return layer.groups == 1 && layer.window.dilation_x == 1 &&
           layer.window.height <= kMostWindowRows &&
           most_conv_rows(layer) <= kMostConvRows && Product::supports(layer);
  }

  static size_t scratch_bytes(const Layer& layer) {
    return acc_bytes(layer) + decoded_rows(layer).bytes() + Product::kBeyond;
  }

  static int64_t units(const Layer& layer) {
    const int rows = output_rows(layer);
    return int64_t{layer.batch} * ((layer.out_height + rows - 1) / rows);
  }

  // 64 sums at each position of a row of outputs, to codes or floats.
  AQE_TARGET static void store_pooled(const Layer& layer, const Acc* acc,
                                      const ConvRows& conv, int block,
                                      char* pixel) {
    using Output = VectorOutput<Lanes>;
    const Acc* rows[kMostConvRows];
    for (int row = 0; row < conv.count; ++row)
      rows[row] = acc + conv.place(row) * acc_of_row(layer);
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    for (int x = 0; x < layer.out_width; ++x, pixel += step) {
      const int left = x * layer.pool.stride_x - layer.pool.pad_left;
      const int begin = std::max(left, 0);
      const int end = std::min(left + layer.pool.width, layer.conv_width);
      alignas(64) Acc best[kBlock];
      Output::max(rows, conv.count, begin, end - begin, best);
      Output::store(layer, nullptr, best, block, pixel);
    }
  }

  // Of a row of the convolution.
  AQE_TARGET static void take_back_padding(const Layer& layer,
                                           const TapSums& tap_sums, int y,
                                           int block, int32_t* acc) {
    const Window& window = layer.window;
    const int count = channels_in_block(layer.out_channels, block);
    const int64_t top = int64_t{y} * window.stride_y - window.pad_top;
    for (int x = 0; x < layer.conv_width; ++x) {
      const int64_t left = int64_t{x} * window.stride_x - window.pad_left;
      const Taps inside = taps_inside(layer, top, left);
      if (tap_sums.is_needed(inside)) {
        tap_sums.take_back<VectorOutput<Lanes>>(inside, block, count,
                                                acc + int64_t{x} * kBlock);
      } else {  // nor is it up to the right border
        const int64_t right = layer.in_width - window.width - left;
        x += static_cast<int>(right / window.stride_x);
      }
    }
  }

  static void run(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
    using Set = typename Lanes::Set;
    const Window& window = layer.window;
    auto* sums = static_cast<Acc*>(scratch);
    DecodedRows decoded = decoded_rows(layer);
    decoded.start(input, static_cast<char*>(scratch) + acc_bytes(layer));
    const char* pad_pixel = Product::pad_pixel(layer, constants);
    const auto step = static_cast<int64_t>(Product::pixel_bytes(layer));
    const int64_t in_step = pixel_bytes(layer.input, layer.in_channels);
    const auto decode = [&](const char* pixels, int64_t count,
                            char* to) AQE_TARGET {
      if (pixels != nullptr) {
        Product::decode(layer, pixels, static_cast<int>(count), count * in_step,
                        to);
        return;
      }
      for (; count > 0; --count, to += step)
        Set::copy_words(pad_pixel, (step + 3) / 4, to);
    };
    Product product(layer, constants);
    const TapSums tap_sums = Product::tap_sums(layer, constants);
    const Layer& stage = Product::output_stage(layer, constants);
    const int64_t of_row = acc_of_row(layer);
    const int most = output_rows(layer);
    const int64_t units_of_image = units(layer) / layer.batch;
    int64_t known = 0;  // rows of all images' convolutions, up to this one
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t n = unit / units_of_image;
      const int y = static_cast<int>(unit % units_of_image) * most;
      const int rows = std::min(most, layer.out_height - y);
      const ConvRows conv = conv_rows(layer, y, rows);
      WindowRows parts[kMostConvRows];
      const int64_t first = n * layer.conv_height + conv.first;
      const int kept = static_cast<int>(std::max<int64_t>(known - first, 0));
      if (keeps_sums(layer)) known = first + conv.count;
      for (int row = kept; row < conv.count; ++row) {
        for (int ky = 0; ky < window.height; ++ky) {
          parts[row][ky] =
              decoded.row(n, n,
                          int64_t{conv.first + row} * window.stride_y +
                              int64_t{ky} * window.dilation_y,
                          decode);
        }
      }
      for (int block = 0; block < block_count(layer.out_channels); ++block) {
        Acc* acc = sums + block * acc_of_block(layer);
        for (int row = kept, count; row < conv.count; row += count) {
          // As many as lie behind each other.
          const int place = conv.place(row);
          count = std::min(conv.count - row, conv.places - place);
          Acc* rows_of_sums = acc + place * of_row;
          product.multiply(parts + row, count, block, rows_of_sums, of_row);
          if constexpr (std::is_integral_v<Acc>) {
            for (int i = 0; i < count && tap_sums.are_any(); ++i) {
              take_back_padding(layer, tap_sums, conv.first + row + i, block,
                                rows_of_sums + i * of_row);
            }
          }
        }
        char* pixel = pixel_at(layer.output, layer.out_channels, output,
                               (n * layer.out_height + y) * layer.out_width);
        if (layer.has_pool) {
          store_pooled(stage, acc, conv, block, pixel);
          continue;
        }
        for (int row = 0; row < rows; ++row) {
          VectorOutput<Lanes>::store_pixels(
              stage, nullptr, acc + row * of_row, layer.out_width, block,
              pixel_at(layer.output, layer.out_channels, pixel,
                       int64_t{row} * layer.out_width));
        }
      }
    }
  }
};

}  // namespace aqe
