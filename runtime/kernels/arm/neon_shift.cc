// SHIFT with NEON: each input value is shifted by the weight's exponent, the
// sign flips the result's bits, and what that leaves out, 1 for each negative
// weight, is added once at the end. No multiply instruction.
#include "kernels/arm/neon_products.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

struct Shift {
  struct Weight {
    int8x16_t exponent, sign;
  };
  static constexpr bool kCountsNegatives = true;

  // Exponents, then signs; a zero shifts everything out.
  static void fill_tables(int weight_bits, int8_t* tables) {
    for (unsigned planes = 0; planes < 1u << weight_bits; ++planes) {
      const int code = code_from_planes(weight_bits, planes);
      int exponent = -16;
      for (int value = std::abs(code); value; value >>= 1)
        exponent = exponent < 0 ? 0 : exponent + 1;
      tables[planes] = static_cast<int8_t>(exponent);
      tables[16 + planes] = code < 0 ? -1 : 0;
    }
  }

  static Weight decode(uint8x16_t planes, const int8x16_t* tables) {
    return {vqtbl1q_s8(tables[0], planes), vqtbl1q_s8(tables[1], planes)};
  }

  static int8x16_t add_narrow(int8x16_t acc, int8x16_t a,
                              const Weight& weight) {
    const int8x16_t shifted =
        vreinterpretq_s8_u8(vshlq_u8(vreinterpretq_u8_s8(a), weight.exponent));
    return vaddq_s8(acc, veorq_s8(shifted, weight.sign));
  }

  static int16x8_t shift_wide(int8x8_t a, int8x8_t exponent, int8x8_t sign) {
    const uint16x8_t wide = vreinterpretq_u16_s16(vmovl_s8(a));
    const int16x8_t shifted =
        vreinterpretq_s16_u16(vshlq_u16(wide, vmovl_s8(exponent)));
    return veorq_s16(shifted, vmovl_s8(sign));
  }

  static int32x4_t add_wide(int32x4_t total, int8x16_t a,
                            const Weight& weight) {
    const int16x8_t low = shift_wide(
        vget_low_s8(a), vget_low_s8(weight.exponent), vget_low_s8(weight.sign));
    const int16x8_t high =
        shift_wide(vget_high_s8(a), vget_high_s8(weight.exponent),
                   vget_high_s8(weight.sign));
    return vpadalq_s16(total, vaddq_s16(low, high));
  }
};

}  // namespace

extern const Kernel kConvShiftNeon = neon::kernel<neon::Products<Shift>>(
    "conv_2d_shift_neon", Operator::kConv2D, kCodeWidths, kWeightWidths, 0,
    neon::has_one_group, neon::kPair);
extern const Kernel kDenseShiftNeon = neon::kernel<neon::Products<Shift>>(
    "fully_connected_shift_neon", Operator::kFullyConnected, kCodeWidths,
    kWeightWidths, 0, neon::has_one_group, neon::kPair);

}  // namespace aqe
