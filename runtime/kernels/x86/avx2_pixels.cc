// Convolutions of 8-bit images with the multiplications of AVX2, whose pairs of
// products are summed in 16 bits for as many steps as cannot overflow.
#include "kernels/x86/avx2_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/pixel_rows.h"

namespace aqe {
namespace {

struct PixelDot : ByteDot {
  static int64_t most_steps(const Layer& layer) {
    const int scale = has_small_weights(layer)
                          ? std::max(1, static_cast<int>(greatest_scale(layer)))
                          : 1;
    return 32767 / (2 * 255 * scale * max_code(layer.weight_bits));
  }
};

struct PairRows : PixelRows<PixelDot> {
  using PixelRows::PixelRows;

  // Products of floats are as fast where much of each row's last step is empty.
  static bool is_worthwhile(const Layer& layer) {
    const int bytes = layer.window.width * layer.in_channels;
    return 4 * bytes >= 3 * static_cast<int>(round_up(bytes, 4));
  }
};

}  // namespace

extern constexpr Kernel kConvPixelsAvx2 = RowsKernel<PairRows>::kernel(
    "conv_2d_pixels_avx2", width_set(Type::kUInt8), kAvx2);

}  // namespace aqe
