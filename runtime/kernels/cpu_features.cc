#include <cstdlib>

#include "keras_aqe/kernel.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace aqe {
namespace {

struct NamedFeature {
  CpuFeature feature;
  const char* name;
};

constexpr NamedFeature kNames[] = {
    {kAvx2, "avx2"},
    {kAvx512, "avx512"},
    {kAvx512Vnni, "avx512vnni"},
    {kAvx512Vpopcntdq, "avx512vpopcntdq"},
    {kAvx512Gfni, "avx512gfni"},
    {kAmx, "amx"},
    {kNeonDot, "neondot"},
    {kNeonI8mm, "neoni8mm"},
};

#if defined(__x86_64__)
// Asked of the CPU itself, since what `__builtin_cpu_supports` looks at is in a
// library of the compiler's, and Zig's says that there is nothing.
struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero where the CPU has no such leaf.
Registers cpuid(unsigned leaf) {
  Registers r;
  if (!__get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx)) return {};
  return r;
}

// The registers that the system saves for each thread, as XCR0 has them.
unsigned saved_registers() {
  // Whether there is `xgetbv`, and the system uses it.
  if (!(cpuid(1).ecx & bit_OSXSAVE)) return 0;
  unsigned low, high;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

#if defined(__linux__)
// Whether there are tile registers, the system saves them, and this process may
// use them, for which Linux has to be asked once.
bool has_amx(unsigned saved) {
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
  if ((cpuid(7).edx & (kTile | kInt8)) != (kTile | kInt8)) return false;
  constexpr unsigned kConfigAndData = 3u << 17;
  if ((saved & kConfigAndData) != kConfigAndData) return false;
  constexpr long kRequestPermission = 0x1023, kData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kData) == 0;
}
#else
bool has_amx(unsigned) { return false; }
#endif
#endif

uint32_t detect() {
  uint32_t features = 0;
#if defined(__x86_64__)
  const unsigned saved = saved_registers();
  constexpr unsigned kYmm = 3u << 1, kZmm = kYmm | 7u << 5;
#if defined(__APPLE__)
  // It begins to save them when they are used first.
  const bool saves_zmm = (saved & kYmm) == kYmm;
#else
  const bool saves_zmm = (saved & kZmm) == kZmm;
#endif
  const Registers one = cpuid(1), seven = cpuid(7);
  const auto add = [&](bool is_saved, unsigned bits, unsigned needed,
                       CpuFeature feature) {
    if (is_saved && (bits & needed) == needed) features |= feature;
  };
  constexpr unsigned kBeside = bit_FMA | bit_POPCNT;
  add((saved & kYmm) == kYmm && (one.ecx & kBeside) == kBeside, seven.ebx,
      bit_AVX2 | bit_BMI2, kAvx2);
  add(saves_zmm, seven.ebx,
      bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL, kAvx512);
  add(saves_zmm, seven.ecx, bit_AVX512VNNI, kAvx512Vnni);
  add(saves_zmm, seven.ecx, bit_AVX512VPOPCNTDQ, kAvx512Vpopcntdq);
  add(saves_zmm, seven.ecx, bit_AVX512VBMI | bit_GFNI, kAvx512Gfni);
  if (has_amx(saved)) features |= kAmx;
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kHwcapDot = 1ul << 20, kHwcap2I8mm = 1ul << 13;
  if (getauxval(AT_HWCAP) & kHwcapDot) features |= kNeonDot;
  if (getauxval(AT_HWCAP2) & kHwcap2I8mm) features |= kNeonI8mm;
#elif defined(__aarch64__) && defined(__APPLE__)
  const auto has = [](const char* name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value;
  };
  if (has("hw.optional.arm.FEAT_DotProd")) features |= kNeonDot;
  if (has("hw.optional.arm.FEAT_I8MM")) features |= kNeonI8mm;
#endif
  return features;
}

}  // namespace

std::string feature_names(uint32_t features) {
  std::string names;
  for (const NamedFeature& named : kNames) {
    if (features & named.feature)
      names += (names.empty() ? "" : ",") + std::string(named.name);
  }
  return names.empty() ? "none" : names;
}

uint32_t cpu_features() {
  const char* listed = std::getenv("KERAS_AQE_CPU_FEATURES");
  static const uint32_t detected = detect();
  if (listed == nullptr) return detected;
  const std::string list = "," + std::string(listed) + ",";
  uint32_t features = 0;
  for (const NamedFeature& named : kNames) {
    if (list.find("," + std::string(named.name) + ",") != std::string::npos)
      features |= named.feature;
  }
  return features & detected;
}

}  // namespace aqe
