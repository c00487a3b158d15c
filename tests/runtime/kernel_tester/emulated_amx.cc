// The kernels of AMX with tile registers that behave as those of the processor
// ("Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2),
// so that their loops, constants and outputs are tested on any CPU with AVX2.
#include "kernels/x86/avx2.h"

#include <cstdlib>
#include <cstring>

#include "emulated_amx.h"
#include "kernels/x86/amx.h"

namespace aqe {
namespace {

// Aborts where the processor would raise an exception.
class EmulatedTiles {
 public:
  void configure(const TileConfig& config) {
    expect(config.palette == 1 && config.start_row == 0);
    for (const uint8_t byte : config.reserved) expect(byte == 0);
    for (int tile = 0; tile < 16; ++tile) {
      expect(config.rows[tile] <= kTileRows &&
             config.bytes_of_row[tile] <= kTileBytes);
      expect((config.rows[tile] == 0) == (config.bytes_of_row[tile] == 0));
      expect(tile < kTileCount || config.rows[tile] == 0);
    }
    config_ = config;
    is_configured_ = true;
    std::memset(tiles_, 0, sizeof tiles_);
  }
  void release() { is_configured_ = false; }

  template <int kTile>
  void load(const void* from, size_t stride) {
    expect(is_configured_ && rows(kTile) > 0);
    std::memset(tiles_[kTile], 0, sizeof tiles_[kTile]);
    for (int row = 0; row < rows(kTile); ++row) {
      std::memcpy(tiles_[kTile][row],
                  static_cast<const char*>(from) + row * stride, bytes(kTile));
    }
  }
  template <int kTile>
  void store(void* to, size_t stride) {
    expect(is_configured_ && rows(kTile) > 0);
    for (int row = 0; row < rows(kTile); ++row) {
      std::memcpy(static_cast<char*>(to) + row * stride, tiles_[kTile][row],
                  bytes(kTile));
    }
  }
  // TDPBUSD
  template <int kSums, int kInputs, int kWeights>
  void add_products() {
    static_assert(kSums != kInputs && kSums != kWeights && kInputs != kWeights);
    expect(is_configured_ && rows(kInputs) == rows(kSums) &&
           bytes(kWeights) == bytes(kSums) &&
           bytes(kInputs) == 4 * rows(kWeights) && bytes(kSums) % 4 == 0);
    for (int m = 0; m < rows(kSums); ++m) {
      for (int n = 0; n < bytes(kSums) / 4; ++n) {
        uint32_t sum;
        std::memcpy(&sum, tiles_[kSums][m] + 4 * n, sizeof sum);
        for (int k = 0; k < bytes(kInputs); ++k) {
          sum += static_cast<uint32_t>(
              int{tiles_[kInputs][m][k]} *
              int{static_cast<int8_t>(tiles_[kWeights][k / 4][4 * n + k % 4])});
        }
        std::memcpy(tiles_[kSums][m] + 4 * n, &sum, sizeof sum);
      }
    }
  }

 private:
  static void expect(bool is_true) {
    if (!is_true) std::abort();
  }
  int rows(int tile) const { return config_.rows[tile]; }
  int bytes(int tile) const { return config_.bytes_of_row[tile]; }

  TileConfig config_;
  bool is_configured_ = false;
  uint8_t tiles_[kTileCount][kTileRows][kTileBytes];
};

constexpr Kernel kConvRows = RowsKernel<amx::Rows<EmulatedTiles>>::kernel(
    "conv_2d_rows_amx_emulated", kCodeWidths, kAvx2);
constexpr Kernel kConv = amx::Patches<EmulatedTiles>::kernel(
    "conv_2d_amx_emulated", Operator::kConv2D, kAvx2);
constexpr Kernel kDense = amx::Patches<EmulatedTiles>::kernel(
    "fully_connected_amx_emulated", Operator::kFullyConnected, kAvx2);

}  // namespace

const Kernel* const emulated_amx_kernels[] = {&kConvRows, &kConv, &kDense,
                                              nullptr};

}  // namespace aqe
