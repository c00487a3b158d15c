// Depthwise convolutions with AVX-512.
#include "kernels/avx512.h"
#include "kernels/kernels.h"
#include "kernels/vector_depthwise.h"

namespace aqe {

extern const Kernel kDepthwiseAvx512 = depthwise_kernel<VectorRows<Int32Lanes>>(
    "depthwise_conv_2d_rows_avx512", kAvx512);

}  // namespace aqe
