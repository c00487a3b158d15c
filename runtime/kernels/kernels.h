// Every kernel there is; kernels/table.cc puts those of this build in order.
#pragma once

#include "keras_aqe/kernel.h"

namespace aqe {

// portable/: planes.cc, codes.cc, code_blocks.cc
extern const Kernel kConvPlanesPortable, kDensePlanesPortable;
extern const Kernel kConvShiftPortable, kDepthwiseShiftPortable,
    kDenseShiftPortable;
extern const Kernel kConvDotPortable, kDepthwiseDotPortable;
extern const Kernel kDepthwisePlanesPortable, kDepthwiseRowsPortable;
extern const Kernel kMaxPoolPortable, kAveragePoolPortable, kQuantizePortable,
    kDequantizePortable;

#if defined(__x86_64__)
// x86/: avx2_lookup.cc, avx2_planes.cc, avx2_dot.cc,
// avx2_pixels.cc, avx2_float.cc, avx2_dense.cc,
// avx2_shift.cc, avx2_code_blocks.cc, avx2_depthwise_dot.cc, avx2_quantize.cc
extern const Kernel kConvLookupAvx2;
extern const Kernel kConvPlanesAvx2, kDensePlanesAvx2;
extern const Kernel kConvDotAvx2;
extern const Kernel kConvPixelsAvx2, kConvImageRowsAvx2, kConvImageAvx2;
extern const Kernel kDenseDotAvx2, kDenseFloatAvx2;
extern const Kernel kConvShiftAvx2, kDenseShiftAvx2;
extern const Kernel kDepthwisePlanesAvx2, kDepthwiseBytesAvx2,
    kDepthwiseDotAvx2, kDepthwiseAvx2;
extern const Kernel kMaxPoolAvx2, kAveragePoolAvx2;
extern const Kernel kQuantizeAvx2, kDequantizeAvx2;
// x86/: avx512_vbmi_lookup.cc, avx512_gfni_xnor.cc, avx512_planes.cc,
// avx512_rows.cc, avx512_dot.cc, avx512_dense.cc, avx512_vbmi_dense.cc,
// avx512_code_blocks.cc, avx512_depthwise_dot.cc, avx512_quantize.cc
extern const Kernel kConvLookupAvx512, kConvXnorAvx512;
extern const Kernel kConvPlanesAvx512, kDensePlanesAvx512;
extern const Kernel kConvRowsAvx512, kConvDotAvx512;
extern const Kernel kConvPixelsAvx512, kConvImageRowsAvx512, kConvImageAvx512;
extern const Kernel kDenseDotAvx512Vbmi, kDenseDotAvx512, kDenseFloatAvx512;
extern const Kernel kDepthwisePlanesAvx512, kDepthwiseBytesAvx512,
    kDepthwiseDotAvx512, kDepthwiseAvx512;
extern const Kernel kMaxPoolAvx512, kAveragePoolAvx512;
extern const Kernel kQuantizeAvx512, kDequantizeAvx512;
#if defined(KERAS_AQE_AMX)
// x86/avx512_amx.cc
extern const Kernel kConvRowsAmx, kConvAmx, kDenseAmx;
#endif
#endif
#if defined(__aarch64__)
// arm/: neon_lookup.cc, neon_planes.cc, neon_dot.cc, neon_multiply.cc,
// neon_shift.cc, neon_float.cc, neon_code_blocks.cc, neon_quantize.cc
extern const Kernel kConvLookupNeon;
extern const Kernel kConvXnorNeon, kConvPlanesNeon, kDensePlanesNeon;
extern const Kernel kConvMatrixNeon, kConvDotNeon, kDenseDotNeon;
extern const Kernel kConvMultiplyNeon, kDenseMultiplyNeon;
extern const Kernel kConvShiftNeon, kDenseShiftNeon;
extern const Kernel kConvPixelsMatrixNeon, kConvPixelsDotNeon,
    kConvPixelsMultiplyNeon;
extern const Kernel kConvFloatNeon, kDenseFloatNeon;
extern const Kernel kDepthwisePlanesNeon, kDepthwiseBytesNeon,
    kDepthwiseDotNeon, kDepthwiseNeon;
extern const Kernel kMaxPoolNeon, kAveragePoolNeon;
extern const Kernel kQuantizeNeon, kDequantizeNeon;
#endif

}  // namespace aqe
