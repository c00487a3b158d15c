// Which kernel runs where: the first that fits, in the order in which the
// kernel benchmark found them to be fast; on ARM, in which docs/performance.md
// estimates them to be. Look-ups come first, where sums are short; XNOR on
// planes before codes, save for more than 1 by 2 bits on ARM with the dot
// product and for pooled layers of few channels; multiplication,
// wherever vectors have it, before SHIFT, which serves where it is named in
// KERAS_AQE_KERNELS and to dense layers of CPUs with no kernels of their own;
// pixels as bytes before floats of the same vectors.
#include <cstdlib>
#include <cstring>

#include "kernels/kernels.h"

namespace aqe {
namespace {

// Whether `name` is one of the comma-separated names in `list`.
bool is_listed(const char* name, const char* list) {
  const size_t length = std::strlen(name);
  for (const char* at = list; at != nullptr; at = std::strchr(at, ',')) {
    if (*at == ',') ++at;
    if (std::strncmp(at, name, length) == 0 &&
        (at[length] == '\0' || at[length] == ','))
      return true;
  }
  return false;
}

}  // namespace

// clang-format off: it would set several in a line, in columns.
extern const Kernel* const kernel_table[] = {
#if defined(__x86_64__)
    &kConvLookupAvx512,
#if defined(KERAS_AQE_AMX)
    &kConvRowsAmx,
    &kConvAmx,
    &kDenseAmx,
#endif
    &kConvRowsAvx512,
    &kConvXnorAvx512,
    &kConvPlanesAvx512,
    &kDensePlanesAvx512,
    &kConvLookupAvx2,
    &kConvDotAvx512,
    &kConvPixelsAvx512,
    &kConvImageRowsAvx512,
    &kConvImageAvx512,
    &kDenseDotAvx512Vbmi,
    &kDenseDotAvx512,
    &kDenseFloatAvx512,
    &kConvPlanesAvx2,
    &kDensePlanesAvx2,
    &kConvDotAvx2,
    &kConvShiftAvx2,
    &kConvPixelsAvx2,
    &kConvImageRowsAvx2,
    &kConvImageAvx2,
    &kDenseDotAvx2,
    &kDenseShiftAvx2,
    &kDenseFloatAvx2,
    &kDepthwisePlanesAvx512,
    &kDepthwisePlanesAvx2,
    &kDepthwiseBytesAvx512,
    &kDepthwiseBytesAvx2,
    &kDepthwiseDotAvx512,
    &kDepthwiseDotAvx2,
    &kDepthwiseAvx512,
    &kDepthwiseAvx2,
    &kMaxPoolAvx512,
    &kMaxPoolAvx2,
    &kAveragePoolAvx512,
    &kAveragePoolAvx2,
    &kQuantizeAvx512,
    &kQuantizeAvx2,
    &kDequantizeAvx512,
    &kDequantizeAvx2,
#endif
#if defined(__aarch64__)
    &kConvLookupNeon,
    &kConvMatrixNeon,
    &kConvXnorNeon,
    &kConvDotNeon,
    &kConvPlanesNeon,
    &kConvMultiplyNeon,
    &kConvShiftNeon,
    &kDensePlanesNeon,
    &kDenseDotNeon,
    &kDenseMultiplyNeon,
    &kDenseShiftNeon,
    &kConvPixelsMatrixNeon,
    &kConvPixelsDotNeon,
    &kConvPixelsMultiplyNeon,
    &kConvFloatNeon,
    &kDenseFloatNeon,
    &kDepthwisePlanesNeon,
    &kDepthwiseBytesNeon,
    &kDepthwiseDotNeon,
    &kDepthwiseNeon,
    &kMaxPoolNeon,
    &kAveragePoolNeon,
    &kQuantizeNeon,
    &kDequantizeNeon,
#endif
    &kConvPlanesPortable,
    &kDensePlanesPortable,
    &kConvDotPortable,
    &kDepthwisePlanesPortable,
    &kDepthwiseRowsPortable,
    &kDepthwiseDotPortable,
    &kConvShiftPortable,
    &kDepthwiseShiftPortable,
    &kDenseShiftPortable,
    &kMaxPoolPortable,
    &kAveragePoolPortable,
    &kQuantizePortable,
    &kDequantizePortable,
    nullptr,
};
// clang-format on

bool fits(const Kernel& kernel, const Layer& layer, uint32_t features) {
  return kernel.op == layer.op && (kernel.inputs & width_set(layer.input)) &&
         (kernel.weights & width_set(layer.weight_bits)) &&
         (kernel.features & ~features) == 0 &&
         (kernel.supports == nullptr || kernel.supports(layer));
}

const Kernel* select_kernel(const Layer& layer, uint32_t features) {
  const char* preferred = std::getenv("KERAS_AQE_KERNELS");
  const Kernel* first = nullptr;
  for (const Kernel* const* kernel = kernel_table; *kernel != nullptr;
       ++kernel) {
    if (!fits(**kernel, layer, features)) continue;
    if (preferred != nullptr && is_listed((*kernel)->name, preferred))
      return *kernel;
    if (first == nullptr && ((*kernel)->is_worthwhile == nullptr ||
                             (*kernel)->is_worthwhile(layer)))
      first = *kernel;
  }
  return first;
}

}  // namespace aqe
