// SHIFT and mixed widths with the multiplications of AVX2.
//
// Codes are decoded to bytes without sign while the patches are gathered. Pairs
// of products are summed in 16 bits, for as many steps as cannot overflow.
#include "kernels/x86/avx2_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_conv.h"

namespace aqe {

extern constexpr Kernel kConvDotAvx2 =
    dot_conv_kernel<ByteDot>("conv_2d_dot_avx2", kCodeWidths, kAvx2);

}  // namespace aqe
