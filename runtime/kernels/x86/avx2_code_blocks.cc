// Depthwise convolutions, pools and dequantize with AVX2.
#include "kernels/x86/avx2.h"

#include "kernels/kernels.h"
#include "kernels/x86/code_blocks.h"

namespace aqe {
namespace {

using Blocks = CodeBlocks<Int32Lanes, FloatLanes>;

}  // namespace

extern constexpr Kernel kDepthwisePlanesAvx2 =
    depthwise_planes_kernel<Blocks>("depthwise_conv_2d_planes_avx2", kAvx2);
extern constexpr Kernel kDepthwiseAvx2 =
    depthwise_kernel<Blocks>("depthwise_conv_2d_rows_avx2", kAvx2);
extern constexpr Kernel kMaxPoolAvx2 =
    max_pool_kernel<Blocks>("max_pool_2d_avx2", kAvx2);
extern constexpr Kernel kAveragePoolAvx2 =
    average_pool_kernel<Blocks>("average_pool_2d_avx2", kAvx2);
extern constexpr Kernel kDequantizeAvx2 =
    dequantize_kernel<Blocks>("dequantize_avx2", kAvx2);

}  // namespace aqe
