// Quantize with NEON.
#include "kernels/kernels.h"
#include "kernels/neon_output.h"

namespace aqe {
namespace {

// 64 values of a block, of which `count` exist, rounded to codes.
void round_block(const Layer& layer, const float* values, int first, int count,
                 int8_t* codes) {
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    int32x4_t rounded[2];
    for (int half = 0; half < 2; ++half) {
      const int at = i + 4 * half;
      const float32x4_t scaled = vmulq_f32(vld1q_f32(values + at),
                                           vld1q_f32(layer.scale + first + at));
      // To the nearest, ties to even; not a number gives 0.
      rounded[half] = vcvtnq_s32_f32(
          vaddq_f32(scaled, vld1q_f32(layer.bias + first + at)));
    }
    vst1_s8(codes + i, vqmovn_s16(vcombine_s16(vqmovn_s32(rounded[0]),
                                               vqmovn_s32(rounded[1]))));
  }
  for (; i < count; ++i) {
    const float scaled = values[i] * layer.scale[first + i];
    codes[i] =
        vqmovnh_s16(vqmovns_s32(vcvtns_s32_f32(scaled + layer.bias[first + i])));
  }
}

template <class Value>
void quantize_block(const Layer& layer, const void* constants,
                    const Value* values, int block, int count, void* pixel) {
  Value acc[kBlock];
  std::copy_n(values, count, acc);
  std::fill(acc + count, acc + kBlock, Value{0});
  neon::store_pixel(layer, constants, acc, block, pixel);
}

size_t constants_bytes(const Layer& layer) {
  return layer.scale != nullptr ? 0 : neon::output_bytes(layer);
}

void pack_constants(const Layer& layer, void* constants) {
  if (layer.scale == nullptr) neon::pack_output(layer, constants);
}

void run_quantize(const Layer& layer, const void* constants, const void* input,
                  void* output, void*, int64_t begin, int64_t end) {
  for (int64_t unit = begin; unit < end; ++unit) {
    const RowBlock at = row_block(layer, unit);
    const int count = channels_in_block(layer.out_channels, at.block);
    const int first = at.block * kBlock;
    for (int x = 0; x < layer.out_width; ++x) {
      const char* in =
          pixel_at(layer.input, layer.in_channels, input, at.first_pixel + x) +
          int64_t{4} * first;
      char* out = pixel_at(layer.output, layer.out_channels, output,
                           at.first_pixel + x);
      if (layer.input == Type::kInt32) {
        quantize_block(layer, constants, reinterpret_cast<const int32_t*>(in),
                       at.block, count, out);
      } else if (layer.scale == nullptr) {
        quantize_block(layer, constants, reinterpret_cast<const float*>(in),
                       at.block, count, out);
      } else {
        round_block(layer, reinterpret_cast<const float*>(in), first, count,
                    reinterpret_cast<int8_t*>(out) + first);
      }
    }
  }
}

}  // namespace

extern const Kernel kQuantizeNeon = {"quantize_neon",
                                     Operator::kQuantize,
                                     width_set(Type::kFloat32, Type::kInt32),
                                     width_set(0),
                                     0,
                                     1,
                                     16,
                                     nullptr,
                                     constants_bytes,
                                     pack_constants,
                                     no_bytes,
                                     row_block_units,
                                     run_quantize};

}  // namespace aqe
