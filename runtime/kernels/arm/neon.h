// The vectors of NEON, for the loops that all instruction sets share. Comes
// before their headers.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "keras_aqe/kernel.h"

// Every aarch64 CPU has NEON.
#define AQE_TARGET

namespace aqe::neon {

struct Neon {
  // Copies so many 32-bit words, often few.
  static void copy_words(const void* from, int64_t count, void* to) {
    const auto* words = static_cast<const uint8_t*>(from);
    auto* copies = static_cast<uint8_t*>(to);
    for (; count >= 4; count -= 4, words += 16, copies += 16)
      vst1q_u8(copies, vld1q_u8(words));
    for (; count > 0; --count, words += 4, copies += 4)
      std::memcpy(copies, words, 4);
  }
};

// Whether the CPU has SDOT, whose cores also start more vector instructions in
// a cycle.
inline bool has_dot() { return (cpu_features() & kNeonDot) != 0; }

inline int32x4_t load(const int32_t* from) { return vld1q_s32(from); }
inline float32x4_t load(const float* from) { return vld1q_f32(from); }
inline void store(int32_t* to, int32x4_t values) { vst1q_s32(to, values); }
inline void store(float* to, float32x4_t values) { vst1q_f32(to, values); }

inline int32x4_t greater(int32x4_t a, int32x4_t b) { return vmaxq_s32(a, b); }
inline float32x4_t greater(float32x4_t a, float32x4_t b) {
  return vmaxq_f32(a, b);
}

inline float32x4_t to_float(int32x4_t acc) { return vcvtq_f32_s32(acc); }
inline float32x4_t to_float(float32x4_t acc) { return acc; }

}  // namespace aqe::neon
