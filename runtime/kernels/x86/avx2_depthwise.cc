// Depthwise convolutions with AVX2.
#include "kernels/x86/avx2.h"

#include "kernels/kernels.h"
#include "kernels/x86/depthwise.h"

namespace aqe {

extern constexpr Kernel kDepthwiseAvx2 =
    depthwise_kernel<VectorRows<Int32Lanes>>("depthwise_conv_2d_rows_avx2",
                                             kAvx2);

}  // namespace aqe
