// Depthwise convolutions with AVX-512.
#include "kernels/avx512.h"
#include "kernels/depthwise.h"
#include "kernels/kernels.h"

namespace aqe {
namespace {

struct Rows : VectorOutput<Int32Lanes> {
  AQE_TARGET static void decode(const Layer& layer, const char* pixel,
                                int block, int16_t* codes) {
    decode_block<Avx512>(layer, pixel, block, codes);
  }
};

}  // namespace

extern const Kernel kDepthwiseAvx512 =
    depthwise_kernel<Rows>("depthwise_conv_2d_rows_avx512", kAvx512);

}  // namespace aqe
