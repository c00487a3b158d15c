// Convolutions on codes taken one at a time, in plain C++, for all widths,
// float input and groups.
//
// SHIFT: each input value is shifted to its products with every weight code
// (doubled, where it is a float); a weight then only picks one of them to be
// added. No multiply instruction. Weights are streamed at 4 bits each. Dot
// product: weights are decoded to int8 and multiplied, which compilers turn
// into vector code.
#include <algorithm>
#include <type_traits>

#include "kernels/kernels.h"
#include "kernels/loops/weights.h"
#include "kernels/portable/conv.h"

namespace aqe {
namespace {

int64_t rows_of_weights(const Layer& layer) {
  return layer.weights_per_output();
}

// The input channels of one pixel that a block of outputs sees, as the
// accumulator's type, in `values`.
template <class Acc>
void load_values(const Layer& layer, const char* pixel, int first, int count,
                 Acc* values) {
  if (pixel == nullptr) {
    std::fill_n(values, count, static_cast<Acc>(layer.pad_value));
  } else if constexpr (std::is_same_v<Acc, int32_t>) {
    for (int i = 0; i < count; ++i)
      values[i] = load_code(layer.input, pixel, first + i);
  } else if (layer.input == Type::kFloat32) {
    std::copy_n(reinterpret_cast<const float*>(pixel) + first, count, values);
  } else {
    const auto* image = reinterpret_cast<const uint8_t*>(pixel) + first;
    for (int i = 0; i < count; ++i) {
      values[i] = static_cast<float>(image[i]) * layer.input_scale[first + i] +
                  layer.input_offset[first + i];
    }
  }
}

// Groups [first, last] that a block of outputs sees.
struct GroupRange {
  int first, last;
  int outputs;  // of one group
};

GroupRange groups_of_block(const Layer& layer, int block) {
  const int outputs = layer.out_channels / layer.groups;
  const int first = block * kBlock;
  return {first / outputs,
          (first + channels_in_block(layer.out_channels, block) - 1) / outputs,
          outputs};
}

size_t values_bytes(const Layer& layer) {
  return sizeof(int32_t) * layer.in_channels;
}

// The sum over taps and channels; `add(weights, value, first output, last
// output, acc)` adds one value times one row of 64 weights.
template <class Acc, class Weight, int kRow, class Add>
void accumulate_values(const Layer& layer, const Weight* weights,
                       const void* input, void* scratch, int n, int y, int x,
                       int block, Acc* acc, Add add) {
  const GroupRange groups = groups_of_block(layer, block);
  const int channels = layer.group_channels();
  const int count = channels_in_block(layer.out_channels, block);
  auto* values = static_cast<Acc*>(scratch);
  std::fill_n(acc, kBlock, Acc{0});
  for_each_tap(layer, input, n, y, x, [&](int64_t tap, const char* pixel) {
    load_values(layer, pixel, groups.first * channels,
                (groups.last - groups.first + 1) * channels, values);
    const Weight* row =
        weights + (block * rows_of_weights(layer) + tap * channels) * kRow;
    for (int g = groups.first; g <= groups.last; ++g) {
      const int begin = std::max(g * groups.outputs - block * kBlock, 0);
      const int end =
          std::min((g + 1) * groups.outputs - block * kBlock, count);
      const Acc* value = values + (g - groups.first) * channels;
      for (int c = 0; c < channels; ++c)
        add(row + c * kRow, value[c], begin, end, acc);
    }
  });
}

// SHIFT. Constants: [block][tap][channel][32], two weights' planes a byte, the
// even output in the low half.
constexpr int kShiftRow = kBlock / 2;

size_t shift_constants_bytes(const Layer& layer) {
  return block_count(layer.out_channels) * rows_of_weights(layer) * kShiftRow;
}

void pack_shift(const Layer& layer, void* constants) {
  auto* all = static_cast<uint8_t*>(constants);
  std::fill_n(all, shift_constants_bytes(layer), 0);
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* planes = rows.planes(o);
    for (int64_t i = 0; i < rows_of_weights(layer); ++i) {
      all[(o / kBlock * rows_of_weights(layer) + i) * kShiftRow +
          o % kBlock / 2] |= planes[i] << (o % 2 * 4);
    }
  }
}

// products[planes] = value * code. Doubling is a shift for integers, exact for
// floats.
template <class Acc>
void shift_products(int bits, Acc value, Acc* products) {
  const int half = 1 << (bits - 1);
  products[0] = bits == 1 ? value : Acc{0};
  products[half] = bits == 1 ? -value : Acc{0};
  for (int magnitude = 1; magnitude < half; ++magnitude) {
    products[magnitude] = value;
    products[half + magnitude] = -value;
    value = value + value;
  }
}

// One value times one row of weights, the outputs [begin, end). A function of
// its own, so that a test can show that it does not multiply.
template <class Acc>
__attribute__((noinline)) void add_shifted(const uint8_t* row, int bits,
                                           Acc value, int begin, int end,
                                           Acc* sums) {
  Acc products[16];
  shift_products(bits, value, products);
  for (int i = begin; i < end; ++i)
    sums[i] += products[row[i / 2] >> (i % 2 * 4) & 15];
}

template <class AccType>
struct Shift {
  using Acc = AccType;
  static void accumulate(const Layer& layer, const void* constants,
                         const void* input, void* scratch, int n, int y, int x,
                         int block, Acc* acc) {
    accumulate_values<Acc, uint8_t, kShiftRow>(
        layer, static_cast<const uint8_t*>(constants), input, scratch, n, y, x,
        block, acc,
        [&](const uint8_t* row, Acc value, int begin, int end, Acc* sums) {
          add_shifted(row, layer.weight_bits, value, begin, end, sums);
        });
  }
};

// Dot product. Constants: [block][tap][channel][64] int8.
size_t dot_constants_bytes(const Layer& layer) {
  return block_count(layer.out_channels) * rows_of_weights(layer) * kBlock;
}

void pack_dot(const Layer& layer, void* constants) {
  auto* all = static_cast<int8_t*>(constants);
  std::fill_n(all, dot_constants_bytes(layer), int8_t{0});
  WeightRows rows(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    const int8_t* codes = rows.codes(o);
    for (int64_t i = 0; i < rows_of_weights(layer); ++i) {
      all[(o / kBlock * rows_of_weights(layer) + i) * kBlock + o % kBlock] =
          codes[i];
    }
  }
}

template <class AccType>
struct Dot {
  using Acc = AccType;
  static void accumulate(const Layer& layer, const void* constants,
                         const void* input, void* scratch, int n, int y, int x,
                         int block, Acc* acc) {
    accumulate_values<Acc, int8_t, kBlock>(
        layer, static_cast<const int8_t*>(constants), input, scratch, n, y, x,
        block, acc,
        [](const int8_t* row, Acc value, int begin, int end, Acc* sums) {
          for (int i = begin; i < end; ++i)
            sums[i] += value * static_cast<Acc>(row[i]);
        });
  }
};

template <template <class> class Method>
void run_values(const Layer& layer, const void* constants, const void* input,
                void* output, void* scratch, int64_t begin, int64_t end) {
  const auto run = layer.float_accumulator() ? run_conv<Method<float>>
                                             : run_conv<Method<int32_t>>;
  run(layer, constants, input, output, scratch, begin, end);
}

constexpr WidthSet kCodesAndFloat = kCodeWidths | width_set(Type::kFloat32);
constexpr WidthSet kAll = kCodesAndFloat | width_set(Type::kUInt8);

constexpr Kernel shift_kernel(const char* name, Operator op, WidthSet inputs) {
  return {name,
          op,
          inputs,
          kWeightWidths,
          0,
          1,
          kBlock,
          nullptr,
          shift_constants_bytes,
          pack_shift,
          values_bytes,
          row_block_units,
          run_values<Shift>};
}

constexpr Kernel dot_kernel(const char* name, Operator op, WidthSet inputs) {
  return {name,
          op,
          inputs,
          kWeightWidths,
          0,
          1,
          kBlock,
          nullptr,
          dot_constants_bytes,
          pack_dot,
          values_bytes,
          row_block_units,
          run_values<Dot>};
}

}  // namespace

extern constexpr Kernel kConvShiftPortable =
    shift_kernel("conv_2d_shift_portable", Operator::kConv2D, kAll);
extern constexpr Kernel kDepthwiseShiftPortable =
    shift_kernel("depthwise_conv_2d_shift_portable", Operator::kDepthwiseConv2D,
                 kCodesAndFloat);
extern constexpr Kernel kDenseShiftPortable =
    shift_kernel("fully_connected_shift_portable", Operator::kFullyConnected,
                 kCodesAndFloat);
extern constexpr Kernel kConvDotPortable =
    dot_kernel("conv_2d_dot_portable", Operator::kConv2D, kAll);
extern constexpr Kernel kDepthwiseDotPortable =
    dot_kernel("depthwise_conv_2d_dot_portable", Operator::kDepthwiseConv2D,
               kCodesAndFloat);

}  // namespace aqe
