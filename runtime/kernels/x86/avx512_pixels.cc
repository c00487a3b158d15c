// Convolutions of 8-bit images with the dot product of AVX-512 VNNI.
#include "kernels/x86/avx512_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/pixel_rows.h"

namespace aqe {

extern constexpr Kernel kConvPixelsAvx512 =
    RowsKernel<PixelRows<ByteDot>>::kernel("conv_2d_pixels_avx512",
                                           width_set(Type::kUInt8),
                                           kAvx512 | kAvx512Vnni);

}  // namespace aqe
