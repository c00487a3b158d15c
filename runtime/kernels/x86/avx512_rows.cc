// Convolutions with the dot product of AVX-512 VNNI, without patches: rows of
// the input are decoded once, and where taps are side by side, so are the bytes
// of a window's row. Those of the next position are a stride behind.
#include "kernels/x86/avx512_dot.h"

#include "kernels/kernels.h"
#include "kernels/loops/decoded_rows.h"
#include "kernels/x86/dot_conv.h"

namespace aqe {
namespace {

constexpr int kMostConvRows = 4;
constexpr int kChannels = DotConv<ByteDot>::kChannels;

// Rows of the convolution that a row of outputs is the maximum of, at most.
int most_conv_rows(const Layer& layer) {
  return layer.has_pool ? layer.pool.height : 1;
}

DecodedRows decoded_rows(const Layer& layer) {
  return DecodedRows(layer, most_conv_rows(layer), patch_pixel_bytes(layer));
}

// Sums of a row of the convolution, one position more if their number is odd.
int64_t acc_of_row(const Layer& layer) {
  return kBlock * static_cast<int64_t>(round_up(layer.conv_width, 2));
}

size_t acc_bytes(const Layer& layer) {
  return sizeof(int32_t) * most_conv_rows(layer) * acc_of_row(layer);
}

bool supports(const Layer& layer) {
  return layer.groups == 1 && layer.window.dilation_x == 1 &&
         layer.window.height <= kMostWindowRows &&
         most_conv_rows(layer) <= kMostConvRows;
}

bool is_worthwhile(const Layer& layer) {
  if (layer.input <= Type::kPacked2 && layer.weight_bits <= 2) {
    // Words of planes take as long if they are not full. Pixels of few channels
    // share words, but are put together for each window. Without max pool they
    // are looked up.
    constexpr int kMostChannels[] = {16, 16, 48};
    return layer.has_pool &&
           layer.in_channels <=
               kMostChannels[bits(layer.input) + layer.weight_bits - 2];
  }
  // Weights pass by once for each row of outputs.
  constexpr int kLongRow = 12;
  constexpr size_t kNear = 3 << 19;
  return layer.conv_width >= kLongRow || dot_constants_bytes(layer) <= kNear;
}

size_t scratch_bytes(const Layer& layer) {
  return acc_bytes(layer) + decoded_rows(layer).bytes();
}

int64_t units(const Layer& layer) {
  return int64_t{layer.batch} * layer.out_height;
}

// 64 sums at each position of a row of outputs, to codes or floats.
AQE_TARGET void store_row(const Layer& layer, const int32_t* acc, int conv_rows,
                          int block, char* pixel) {
  using Output = VectorOutput<Int32Lanes>;
  const int64_t step = pixel_bytes(layer.output, layer.out_channels);
  for (int x = 0; x < layer.out_width; ++x, pixel += step) {
    if (!layer.has_pool) {
      Output::store(layer, nullptr, acc + int64_t{x} * kBlock, block, pixel);
      continue;
    }
    const int left = x * layer.pool.stride_x - layer.pool.pad_left;
    const int begin = std::max(left, 0);
    const int end = std::min(left + layer.pool.width, layer.conv_width);
    alignas(64) int32_t best[kBlock];
    Output::max(acc + int64_t{begin} * kBlock, conv_rows,
                static_cast<int>(acc_of_row(layer)), end - begin, best);
    Output::store(layer, nullptr, best, block, pixel);
  }
}

void run(const Layer& layer, const void* constants, const void* input,
         void* output, void* scratch, int64_t begin, int64_t end) {
  const Window& window = layer.window;
  const DotLayout at(layer);
  const auto* bytes = static_cast<const char*>(constants);
  auto* acc = static_cast<int32_t*>(scratch);
  DecodedRows decoded = decoded_rows(layer);
  decoded.start(input, static_cast<char*>(scratch) + acc_bytes(layer));
  const size_t step = patch_pixel_bytes(layer);
  const int64_t part_steps = window.width * static_cast<int64_t>(step) / 4;
  const auto decode = [&](const char* pixel, char* to) AQE_TARGET {
    if (pixel != nullptr) {
      Avx512::decode_pixel(layer.input, pixel, layer.in_channels, to);
    } else {
      Avx512::copy_words(bytes + at.pad, static_cast<int64_t>(step / 4), to);
    }
  };
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t n = unit / layer.out_height;
    const int y = static_cast<int>(unit % layer.out_height);
    const int top =
        layer.has_pool ? y * layer.pool.stride_y - layer.pool.pad_top : y;
    const int first = std::max(top, 0);
    const int conv_rows =
        std::min(top + most_conv_rows(layer), layer.conv_height) - first;
    const char* parts[kMostConvRows][kMostWindowRows];
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
      const int channels = channels_in_block(layer.out_channels, block);
      for (int c = 0; c < channels; c += kChannels) {
        const int64_t channel = int64_t{block} * kBlock + c;
        for (int conv_row = 0; conv_row < conv_rows; ++conv_row) {
          multiply_channels<ByteDot>(channels - c)(
              layer, parts[conv_row], window.height, window.stride_x * step,
              layer.conv_width, bytes + at.weights + channel * at.steps * 4,
              part_steps,
              reinterpret_cast<const int32_t*>(bytes + at.init) + channel,
              acc + conv_row * acc_of_row(layer) + c);
        }
      }
      store_row(layer, acc, conv_rows, block,
                pixel_at(layer.output, layer.out_channels, output,
                         unit * layer.out_width));
    }
  }
}

}  // namespace

extern constexpr Kernel kConvRowsAvx512 = {"conv_2d_rows_avx512",
                                           Operator::kConv2D,
                                           kCodeWidths,
                                           kWeightWidths,
                                           kAvx512 | kAvx512Vnni,
                                           ByteDot::kMostRows,
                                           kChannels,
                                           supports,
                                           dot_constants_bytes,
                                           pack_dot<kChannels>,
                                           scratch_bytes,
                                           units,
                                           run,
                                           is_worthwhile};

}  // namespace aqe
