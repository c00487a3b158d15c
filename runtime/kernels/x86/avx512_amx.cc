// Codes by AMX, on CPUs that have it; never run on one so far, only with tiles
// that a program emulates.
#define AQE_BEYOND ",amx-tile,amx-int8"
#include "kernels/x86/avx512.h"

#include "kernels/kernels.h"
#include "kernels/x86/amx.h"

namespace aqe {
namespace {

// Compilers do not see that these read and write memory, so each says so.
class Tiles {
 public:
  AQE_TARGET void configure(const TileConfig& config) {
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  AQE_TARGET void release() { asm volatile("tilerelease"); }

  template <int kTile>
  AQE_TARGET void load(const void* from, size_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2"
                 :
                 : "r"(from), "r"(stride), "i"(kTile)
                 : "memory");
  }
  template <int kTile>
  AQE_TARGET void store(void* to, size_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)"
                 :
                 : "r"(to), "r"(stride), "i"(kTile)
                 : "memory");
  }
  template <int kSums, int kInputs, int kWeights>
  AQE_TARGET void add_products() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0"
                 :
                 : "i"(kSums), "i"(kInputs), "i"(kWeights));
  }
};

constexpr uint32_t kNeeds = kAvx512 | kAmx;

}  // namespace

extern constexpr Kernel kConvRowsAmx = RowsKernel<amx::Rows<Tiles>>::kernel(
    "conv_2d_rows_amx", kCodeWidths, kNeeds);
extern constexpr Kernel kConvAmx =
    amx::Patches<Tiles>::kernel("conv_2d_amx", Operator::kConv2D, kNeeds);
extern constexpr Kernel kDenseAmx = amx::Patches<Tiles>::kernel(
    "fully_connected_amx", Operator::kFullyConnected, kNeeds);

}  // namespace aqe
