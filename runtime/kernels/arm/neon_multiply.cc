// Multiplication of codes with NEON, for CPUs without a dot product: 16 at a
// time into bytes where the products are small, else in pairs into 32 bits.
#include "kernels/arm/neon.h"

#include "kernels/arm/neon_pixels.h"
#include "kernels/arm/neon_products.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

struct Multiply {
  using Weight = int8x16_t;
  static constexpr bool kCountsNegatives = false;

  // The second is not looked at.
  static const int8_t* tables(int weight_bits) {
    return neon::kCodes.of_planes[weight_bits];
  }

  static Weight decode(uint8x16_t planes, const int8x16_t* tables) {
    return vqtbl1q_s8(tables[0], planes);
  }

  static int8x16_t add_narrow(int8x16_t acc, int8x16_t a, Weight weight) {
    return vmlaq_s8(acc, a, weight);
  }

  static int32x4_t add_wide(int32x4_t total, int8x16_t a, Weight weight) {
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(weight));
    return vpadalq_s16(total, vmlal_high_s8(low, a, weight));
  }
};

constexpr Kernel pixels_kernel() {
  using Sums = neon::Products<Multiply>;
  Kernel kernel = neon::pixel_kernel<Sums>("conv_2d_pixels_multiply_neon", 0);
  // Products of floats take twice as long, but fill no chunks of up to 128.
  kernel.is_worthwhile = [](const Layer& layer) {
    return Sums::row_bytes(layer) < 2 * layer.weights_per_output();
  };
  return kernel;
}

}  // namespace

extern constexpr Kernel kConvMultiplyNeon =
    neon::products_kernel<Multiply>("conv_2d_multiply_neon", Operator::kConv2D);
extern constexpr Kernel kConvPixelsMultiplyNeon = pixels_kernel();
extern constexpr Kernel kDenseMultiplyNeon = neon::products_kernel<Multiply>(
    "fully_connected_multiply_neon", Operator::kFullyConnected);

}  // namespace aqe
