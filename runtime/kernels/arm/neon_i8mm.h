// The inner loop that needs SMMLA. Its file alone is compiled for it, and
// includes nothing whose code the linker could use elsewhere.
#pragma once

#include "kernels/arm/neon_sdot.h"

namespace aqe::neon {

// As kDotTile4; a chunk of weights is [8 codes][2 channels][code].
extern const DotTile kMatrixTile4;

}  // namespace aqe::neon
