// The delegate as an accelerator of LiteRT's CompiledModel.
#pragma once

#include "litert_abi.h"

namespace aqe::litert {

// Adds it to an environment, by the functions of the LiteRT that the program
// has loaded; `kNotFound` if it has none.
Status register_accelerator(Environment* environment);

}  // namespace aqe::litert
