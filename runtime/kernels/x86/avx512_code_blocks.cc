// Depthwise convolutions, pools and dequantize with AVX-512.
#include "kernels/x86/avx512.h"

#include "kernels/kernels.h"
#include "kernels/x86/code_blocks.h"

namespace aqe {
namespace {

using Blocks = CodeBlocks<Int32Lanes, FloatLanes>;

}  // namespace

extern constexpr Kernel kDepthwisePlanesAvx512 =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_avx512", kAvx512);
extern constexpr Kernel kDepthwiseAvx512 =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_avx512", kAvx512);
extern constexpr Kernel kMaxPoolAvx512 =
    max_pool_kernel<Blocks>("max_pool_2d_avx512", kAvx512);
extern constexpr Kernel kAveragePoolAvx512 =
    average_pool_kernel<Blocks>("average_pool_2d_avx512", kAvx512);
extern constexpr Kernel kDequantizeAvx512 =
    dequantize_kernel<Blocks>("dequantize_avx512", kAvx512);

}  // namespace aqe
