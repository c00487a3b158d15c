// Depthwise convolutions with AVX2.
#include "kernels/avx2.h"
#include "kernels/depthwise.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

struct Rows : VectorOutput<Int32Lanes> {
  AQE_TARGET static void decode(const Layer& layer, const char* pixel,
                                int block, int16_t* codes) {
    decode_block<Avx2>(layer, pixel, block, codes);
  }
};

}  // namespace

extern const Kernel kDepthwiseAvx2 =
    depthwise_kernel<Rows>("depthwise_conv_2d_rows_avx2", kAvx2);

}  // namespace aqe
