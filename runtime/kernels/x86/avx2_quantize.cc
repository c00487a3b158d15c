// Quantize with AVX2.
#include "kernels/x86/avx2.h"

#include "kernels/kernels.h"
#include "kernels/x86/quantize.h"

namespace aqe {

extern constexpr Kernel kQuantizeAvx2 =
    quantize_kernel<Int32Lanes, FloatLanes>("quantize_avx2", kAvx2);

}  // namespace aqe
