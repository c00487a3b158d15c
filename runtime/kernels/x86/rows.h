// Convolutions as products of bytes, without patches: rows of the input are
// decoded once, and where taps are side by side, so are the bytes of a window's
// row. Those of the next position are a stride behind.
//
// A `Product` says how rows are multiplied:
//   Lanes                         its vectors
//   kMostRows, kChannels          positions and output channels at a time
//   kBeyond                       bytes that it may read behind a row
//   constants_bytes(layer), pack(layer, constants)
//   pad_pixel(layer, constants)   a decoded pixel of padding
//   output_rows(layer)            rows of outputs at a time, if not pooled
//   is_worthwhile(layer)
//   Product(layer, constants)     of a thread, while it runs
//   multiply(rows, count, block, acc, acc_of_row)
//                                 64 sums of all positions of so many rows of
//                                 the convolution; rows[i] are those of the
//                                 input below row i
#pragma once

#include <algorithm>

#include "kernels/loops/decoded_rows.h"
#include "kernels/x86/byte_patches.h"
#include "kernels/x86/output.h"

namespace aqe {

constexpr int kMostConvRows = 4;  // at a time

// Where the rows of the input below a row of the convolution lie.
using WindowRows = const char* [kMostWindowRows];

template <class Product>
struct RowsKernel {
  using Lanes = typename Product::Lanes;

  static constexpr Kernel kernel(const char* name, uint32_t features) {
    return {name,
            Operator::kConv2D,
            kCodeWidths,
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
  static int output_rows(const Layer& layer) {
    return layer.has_pool ? 1 : Product::output_rows(layer);
  }

  // Rows of the convolution that belong to those rows of outputs, at most.
  static int most_conv_rows(const Layer& layer) {
    return layer.has_pool ? layer.pool.height : output_rows(layer);
  }

  static DecodedRows decoded_rows(const Layer& layer) {
    return DecodedRows(layer, most_conv_rows(layer), patch_pixel_bytes(layer));
  }

  // Sums of a row of the convolution, one position more if their number is odd.
  static int64_t acc_of_row(const Layer& layer) {
    return kBlock * static_cast<int64_t>(round_up(layer.conv_width, 2));
  }

  static size_t acc_bytes(const Layer& layer) {
    return sizeof(int32_t) * most_conv_rows(layer) * acc_of_row(layer);
  }

  static bool supports(const Layer& layer) {
    return layer.groups == 1 && layer.window.dilation_x == 1 &&
           layer.window.height <= kMostWindowRows &&
           most_conv_rows(layer) <= kMostConvRows;
  }

  static size_t scratch_bytes(const Layer& layer) {
    return acc_bytes(layer) + decoded_rows(layer).bytes() + Product::kBeyond;
  }

  static int64_t units(const Layer& layer) {
    const int rows = output_rows(layer);
    return int64_t{layer.batch} * ((layer.out_height + rows - 1) / rows);
  }

  // 64 sums at each position of a row of outputs, to codes or floats.
  AQE_TARGET static void store_row(const Layer& layer, const int32_t* acc,
                                   int conv_rows, int block, char* pixel) {
    using Output = VectorOutput<Lanes>;
    if (!layer.has_pool) {
      Output::store_pixels(layer, nullptr, acc, layer.out_width, block, pixel);
      return;
    }
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    for (int x = 0; x < layer.out_width; ++x, pixel += step) {
      const int left = x * layer.pool.stride_x - layer.pool.pad_left;
      const int begin = std::max(left, 0);
      const int end = std::min(left + layer.pool.width, layer.conv_width);
      alignas(64) int32_t best[kBlock];
      Output::max(acc + int64_t{begin} * kBlock, conv_rows,
                  static_cast<int>(acc_of_row(layer)), end - begin, best);
      Output::store(layer, nullptr, best, block, pixel);
    }
  }

  static void run(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
    using Set = typename Lanes::Set;
    const Window& window = layer.window;
    auto* acc = static_cast<int32_t*>(scratch);
    DecodedRows decoded = decoded_rows(layer);
    decoded.start(input, static_cast<char*>(scratch) + acc_bytes(layer));
    const char* pad_pixel = Product::pad_pixel(layer, constants);
    const auto pad_words = static_cast<int64_t>(patch_pixel_bytes(layer) / 4);
    const auto decode = [&](const char* pixel, char* to) AQE_TARGET {
      if (pixel != nullptr) {
        Set::decode_pixel(layer.input, pixel, layer.in_channels, to);
      } else {
        Set::copy_words(pad_pixel, pad_words, to);
      }
    };
    Product product(layer, constants);
    const int most = output_rows(layer);
    const int64_t units_of_image = units(layer) / layer.batch;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t n = unit / units_of_image;
      const int y = static_cast<int>(unit % units_of_image) * most;
      const int rows = std::min(most, layer.out_height - y);
      const int top =
          layer.has_pool ? y * layer.pool.stride_y - layer.pool.pad_top : y;
      const int first = std::max(top, 0);
      const int conv_rows =
          layer.has_pool
              ? std::min(top + layer.pool.height, layer.conv_height) - first
              : rows;
      WindowRows parts[kMostConvRows];
      for (int conv_row = 0; conv_row < conv_rows; ++conv_row) {
        for (int ky = 0; ky < window.height; ++ky) {
          parts[conv_row][ky] =
              decoded.row(n, n,
                          int64_t{first + conv_row} * window.stride_y +
                              int64_t{ky} * window.dilation_y,
                          decode);
        }
      }
      for (int block = 0; block < block_count(layer.out_channels); ++block) {
        product.multiply(parts, conv_rows, block, acc, acc_of_row(layer));
        for (int row = 0; row < rows; ++row) {
          store_row(
              layer, acc + row * acc_of_row(layer), conv_rows, block,
              pixel_at(layer.output, layer.out_channels, output,
                       (n * layer.out_height + y + row) * layer.out_width));
        }
      }
    }
  }
};

}  // namespace aqe
