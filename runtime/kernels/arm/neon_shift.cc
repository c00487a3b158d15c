// SHIFT with NEON: each input value is shifted by the weight's exponent, the
// sign flips the result's bits, and what that leaves out, 1 for each negative
// weight, is added once at the end. No multiply instruction.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_products.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

// of_planes[bits]: exponents, then signs; a zero shifts everything out.
struct Shifts {
  int8_t of_planes[5][32] = {};
  constexpr Shifts() {
    for (int bits = 1; bits <= 4; ++bits) {
      for (unsigned planes = 0; planes < 1u << bits; ++planes) {
        const int code = code_from_planes(bits, planes);
        int exponent = -16;
        for (int value = code < 0 ? -code : code; value; value >>= 1)
          exponent = exponent < 0 ? 0 : exponent + 1;
        of_planes[bits][planes] = static_cast<int8_t>(exponent);
        of_planes[bits][16 + planes] = code < 0 ? -1 : 0;
      }
    }
  }
};
constexpr Shifts kShifts;

struct Shift {
  struct Weight {
    int8x16_t exponent, sign;
  };
  static constexpr bool kCountsNegatives = true;

  static const int8_t* tables(int weight_bits) {
    return kShifts.of_planes[weight_bits];
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

extern constexpr Kernel kConvShiftNeon =
    neon::products_kernel<Shift>("conv_2d_shift_neon", Operator::kConv2D);
extern constexpr Kernel kDenseShiftNeon = neon::products_kernel<Shift>(
    "fully_connected_shift_neon", Operator::kFullyConnected);

}  // namespace aqe
