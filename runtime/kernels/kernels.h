// Every kernel there is; kernels/table.cc puts those of this build in order.
#pragma once

#include "keras_aqe/kernel.h"

namespace aqe {

// portable_planes.cc, portable_codes.cc, portable_elementwise.cc
extern const Kernel kConvPlanesPortable, kDensePlanesPortable;
extern const Kernel kConvShiftPortable, kDepthwiseShiftPortable,
    kDenseShiftPortable;
extern const Kernel kConvDotPortable, kDepthwiseDotPortable;
extern const Kernel kMaxPoolPortable, kAveragePoolPortable, kQuantizePortable,
    kDequantizePortable;

#if defined(__aarch64__)
// neon_planes.cc, neon_dot.cc, neon_multiply.cc, neon_shift.cc, neon_float.cc,
// neon_quantize.cc
extern const Kernel kConvXnorNeon, kConvPlanesNeon, kDensePlanesNeon;
extern const Kernel kConvDotNeon, kDenseDotNeon;
extern const Kernel kConvMultiplyNeon, kDenseMultiplyNeon;
extern const Kernel kConvShiftNeon, kDenseShiftNeon;
extern const Kernel kConvFloatNeon, kDenseFloatNeon;
extern const Kernel kQuantizeNeon;
#endif

}  // namespace aqe
