// Quantize with AVX-512, and shifts of words of BMI2.
#define AQE_BEYOND ",bmi2"
#include "kernels/x86/avx512.h"

#include "kernels/kernels.h"
#include "kernels/x86/quantize.h"

namespace aqe {

extern constexpr Kernel kQuantizeAvx512 =
    quantize_kernel<Int32Lanes, FloatLanes>("quantize_avx512", kAvx2 | kAvx512);

}  // namespace aqe
