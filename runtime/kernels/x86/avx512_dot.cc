// SHIFT and mixed widths with the dot product of AVX-512 VNNI. Codes are
// decoded to bytes while the patches are gathered.
#include "kernels/x86/avx512_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_conv.h"

namespace aqe {

extern constexpr Kernel kConvDotAvx512 = dot_conv_kernel<ByteDot>(
    "conv_2d_dot_avx512", kCodeWidths, kAvx512 | kAvx512Vnni);

}  // namespace aqe
