// The interface of a kernel and the one table of them, from which the delegate,
// the tests and the benchmarks choose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "keras_aqe/layer.h"

namespace aqe {

// Instruction sets beyond the baseline of the architecture (SSE2 on x86-64,
// NEON on aarch64).
enum CpuFeature : uint32_t {
  kAvx2 = 1 << 0,    // with FMA, BMI2 and POPCNT
  kAvx512 = 1 << 1,  // F, BW, DQ, VL
  kAvx512Vnni = 1 << 2,
  kAvx512Vpopcntdq = 1 << 3,
  kNeonDot = 1 << 4,     // SDOT, UDOT
  kAvx512Gfni = 1 << 5,  // with VBMI
  kAmx = 1 << 6,         // tiles of bytes, which the system lets us use
  kNeonI8mm = 1 << 7,    // SMMLA
};

// A set of Type or of weight widths, one bit each.
using WidthSet = uint32_t;

constexpr WidthSet width_set() { return 0; }
template <class... Rest>
constexpr WidthSet width_set(Type first, Rest... rest) {
  return (1u << static_cast<int>(first)) | width_set(rest...);
}
template <class... Rest>
constexpr WidthSet width_set(int first, Rest... rest) {
  return (1u << first) | width_set(rest...);
}

constexpr WidthSet kCodeWidths =
    width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kPacked4,
              Type::kInt8);
constexpr WidthSet kWeightWidths = width_set(1, 2, 3, 4);

// One implementation of one operator for some widths.
//
// `constants` is what the kernel made of weights and thresholds when the layer
// was prepared; `scratch` belongs to one thread while it runs. Both are aligned
// to 64 bytes; `input` and `output` to 8. Constants do not depend on the batch,
// and layers that are alike in all else share them. Where Layer::sums, `output`
// is Sum::place, and the output stage reads and writes the tensors of the sum.
// Where an input has parts, those say where they are.
// A kernel reads and writes tensors only within their sizes, allocates nothing
// in `run`, throws nothing, and writes the zero bits of channels that do not
// exist.
//
// `run` computes the units [begin, end) of the layer. What a unit is, the
// kernel decides (rows of the output, blocks of output channels, both); the
// units are independent, and run in any order by several threads they write
// each output word once.
struct Kernel {
  const char* name;  // operator, input x weight bits, instruction set
  Operator op;
  WidthSet inputs;
  WidthSet weights;  // bit 0: no weights
  uint32_t features;
  int tile_pixels,
      tile_channels;  // outputs computed at a time; tests go around them
  bool (*supports)(const Layer&);  // null: every layer of these widths
  size_t (*constants_bytes)(const Layer&);
  void (*pack_constants)(const Layer&, void* constants);
  size_t (*scratch_bytes)(const Layer&);
  int64_t (*units)(const Layer&);
  void (*run)(const Layer&, const void* constants, const void* input,
              void* output, void* scratch, int64_t begin, int64_t end);
  // Whether dispatch takes it before those that follow; null: always.
  bool (*is_worthwhile)(const Layer&) = nullptr;
};

// All kernels of this build, the preferred first; a null pointer ends the
// table.
extern const Kernel* const kernel_table[];

// What the CPU has, limited to the names in the environment variable
// KERAS_AQE_CPU_FEATURES if that is set (separated by commas; "none" for the
// baseline).
uint32_t cpu_features();

// The same set as text: the names of that variable, separated by commas, or
// "none".
std::string feature_names(uint32_t features);

// Whether the kernel computes this layer on a CPU with these features.
bool fits(const Kernel& kernel, const Layer& layer, uint32_t features);

// The first kernel of the table that fits and is worthwhile; one named in
// KERAS_AQE_KERNELS (separated by commas) goes before all others. Null if none
// fits.
const Kernel* select_kernel(const Layer& layer, uint32_t features);

}  // namespace aqe
