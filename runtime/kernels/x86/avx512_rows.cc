// Rows of bytes with the dot product of AVX-512 VNNI.
#include "kernels/x86/avx512_dot.h"

#include "kernels/kernels.h"
#include "kernels/x86/dot_rows.h"

namespace aqe {
namespace {

struct ByteRows : DotRows<ByteDot> {
  using DotRows::DotRows;

  static bool is_worthwhile(const Layer& layer) {
    if (layer.input <= Type::kPacked2 && layer.weight_bits <= 2) {
      // Words of planes take as long if they are not full. Pixels of few
      // channels share words, but are put together for each window. Without
      // max pool they are looked up.
      constexpr int kMostChannels[] = {16, 16, 48};
      return layer.has_pool &&
             layer.in_channels <=
                 kMostChannels[bits(layer.input) + layer.weight_bits - 2];
    }
    return DotRows::is_worthwhile(layer);
  }
};

}  // namespace

extern constexpr Kernel kConvRowsAvx512 = RowsKernel<ByteRows>::kernel(
    "conv_2d_rows_avx512", kCodeWidths, kAvx512 | kAvx512Vnni);

}  // namespace aqe
