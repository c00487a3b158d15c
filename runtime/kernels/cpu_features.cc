#include <cstdlib>

#include "keras_aqe/kernel.h"

#if defined(__aarch64__) && defined(__linux__)
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
    {kNeonDot, "neondot"},
};

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
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kHwcapDot = 1ul << 20;
  if (getauxval(AT_HWCAP) & kHwcapDot) features |= kNeonDot;
#elif defined(__aarch64__) && defined(__APPLE__)
  int has = 0;
  size_t size = sizeof has;
  if (sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, nullptr, 0) ==
          0 &&
      has)
    features |= kNeonDot;
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
  const uint32_t detected = detect();
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
