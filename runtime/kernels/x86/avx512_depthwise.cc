// Depthwise convolutions with AVX-512.
#include "kernels/x86/avx512.h"

#include "kernels/kernels.h"
#include "kernels/x86/depthwise.h"

namespace aqe {

extern constexpr Kernel kDepthwiseAvx512 =
    depthwise_kernel<VectorRows<Int32Lanes>>("depthwise_conv_2d_rows_avx512",
                                             kAvx512);

}  // namespace aqe
