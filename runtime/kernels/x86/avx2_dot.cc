// SHIFT and mixed widths with the multiplications of AVX2.
//
// Codes are decoded to bytes without sign while the patches are gathered. Pairs
// of products are summed in 16 bits, for as many steps as cannot overflow.
#include "kernels/x86/avx2_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_conv.h"

namespace aqe {
namespace {

struct ByteDot : ByteProducts {
  static constexpr int kMostRows = 4, kMostVectors = 2;
  static constexpr bool kIsNarrow = true;

  static int64_t most_steps(const Layer& layer) { return most_pairs(layer); }
  AQE_TARGET static __m256i zero() { return _mm256_setzero_si256(); }
  AQE_TARGET static __m256i add(__m256i sum, __m256i in, __m256i w) {
    return _mm256_add_epi16(sum, pairs(in, w));
  }
};

}  // namespace

extern constexpr Kernel kConvDotAvx2 =
    dot_conv_kernel<ByteDot>("conv_2d_dot_avx2", kCodeWidths, kAvx2);

}  // namespace aqe
