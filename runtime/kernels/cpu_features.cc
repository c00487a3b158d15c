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

#if defined(__x86_64__) && defined(__linux__)
// Whether there are tile registers, the system saves them for each thread, and
// this process may use them, for which Linux has to be asked once.
bool has_amx() {
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned kHasXgetbv = 1u << 27;  // and the system uses it
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & kHasXgetbv))
    return false;
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
      (edx & (kTile | kInt8)) != (kTile | kInt8))
    return false;
  constexpr unsigned kConfigAndData = 3u << 17;
  asm("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  if ((eax & kConfigAndData) != kConfigAndData) return false;
  constexpr long kRequestPermission = 0x1023, kData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kData) == 0;
}
#else
[[maybe_unused]] bool has_amx() { return false; }
#endif

uint32_t detect() {
  uint32_t features = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto add = [&](bool has, CpuFeature feature) {
    features |= has ? feature : 0u;
  };
  add(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
          __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt"),
      kAvx2);
  add(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl"),
      kAvx512);
  add(__builtin_cpu_supports("avx512vnni"), kAvx512Vnni);
  add(__builtin_cpu_supports("avx512vpopcntdq"), kAvx512Vpopcntdq);
  add(__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("gfni"),
      kAvx512Gfni);
  add(has_amx(), kAmx);
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
