// The inner loop of 1 by 1 bit, 4 rows by 4 channels, in the order that suits
// cores which execute in order: all loads of the next step together, as early
// as their registers are free. Compilers load at the top and wait.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace aqe::neon {

// clang-format off: rows are what the core can start together.
#define AQE_EOR(to, a, b) "eor v" #to ".16b, v" #a ".16b, v" #b ".16b\n\t"
#define AQE_CNT(at) "cnt v" #at ".16b, v" #at ".16b\n\t"
#define AQE_ADD(to, from) \
  "add %[" #to "].16b, %[" #to "].16b, v" #from ".16b\n\t"
#define AQE_ZERO(to) "movi %[" #to "].16b, #0\n\t"

// Of rows in v0 to v3 and two channels in vB and vC, the differing bits; their
// counts.
#define AQE_DIFFER(b, c)                                              \
  AQE_EOR(8, 0, b) AQE_EOR(9, 1, b) AQE_EOR(10, 2, b) AQE_EOR(11, 3, b) \
  AQE_EOR(12, 0, c) AQE_EOR(13, 1, c) AQE_EOR(14, 2, c) AQE_EOR(15, 3, c)
#define AQE_COUNT                                     \
  AQE_CNT(8) AQE_CNT(9) AQE_CNT(10) AQE_CNT(11)       \
  AQE_CNT(12) AQE_CNT(13) AQE_CNT(14) AQE_CNT(15)
#define AQE_LOAD                       \
  "ldr q0, [%[row0], %[offset]]\n\t"   \
  "ldr q1, [%[row1], %[offset]]\n\t"   \
  "ldr q2, [%[row2], %[offset]]\n\t"   \
  "ldr q3, [%[row3], %[offset]]\n\t"   \
  "ldr q4, [%[weights]]\n\t"           \
  "ldr q5, [%[weights], #16]\n\t"      \
  "ldr q6, [%[weights], #32]\n\t"      \
  "ldr q7, [%[weights], #48]\n\t"

// Sets acc[row][channel] to the bytes' counts of differing bits in `steps`
// steps, of which there is one at least. Reads one step further.
inline void count_xnor(const uint8_t* rows, size_t row_bytes,
                       const uint8_t* weights, int64_t steps,
                       uint8x16_t (&acc)[4][4]) {
  size_t offset = 0;
  asm volatile(
      AQE_LOAD
      AQE_ZERO(acc00) AQE_ZERO(acc01) AQE_ZERO(acc02) AQE_ZERO(acc03)
      AQE_ZERO(acc10) AQE_ZERO(acc11) AQE_ZERO(acc12) AQE_ZERO(acc13)
      AQE_ZERO(acc20) AQE_ZERO(acc21) AQE_ZERO(acc22) AQE_ZERO(acc23)
      AQE_ZERO(acc30) AQE_ZERO(acc31) AQE_ZERO(acc32) AQE_ZERO(acc33)
      "0:\n\t"
      "add %[weights], %[weights], #64\n\t"
      "add %[offset], %[offset], #16\n\t"
      "subs %[steps], %[steps], #1\n\t"
      AQE_DIFFER(4, 5)
      AQE_COUNT
      AQE_ADD(acc00, 8) AQE_ADD(acc10, 9) AQE_ADD(acc20, 10) AQE_ADD(acc30, 11)
      AQE_ADD(acc01, 12) AQE_ADD(acc11, 13) AQE_ADD(acc21, 14)
      AQE_ADD(acc31, 15)
      AQE_DIFFER(6, 7)
      AQE_LOAD
      AQE_COUNT
      AQE_ADD(acc02, 8) AQE_ADD(acc12, 9) AQE_ADD(acc22, 10) AQE_ADD(acc32, 11)
      AQE_ADD(acc03, 12) AQE_ADD(acc13, 13) AQE_ADD(acc23, 14)
      AQE_ADD(acc33, 15)
      "b.ne 0b\n\t"
      : [acc00] "=w"(acc[0][0]), [acc01] "=w"(acc[0][1]),
        [acc02] "=w"(acc[0][2]), [acc03] "=w"(acc[0][3]),
        [acc10] "=w"(acc[1][0]), [acc11] "=w"(acc[1][1]),
        [acc12] "=w"(acc[1][2]), [acc13] "=w"(acc[1][3]),
        [acc20] "=w"(acc[2][0]), [acc21] "=w"(acc[2][1]),
        [acc22] "=w"(acc[2][2]), [acc23] "=w"(acc[2][3]),
        [acc30] "=w"(acc[3][0]), [acc31] "=w"(acc[3][1]),
        [acc32] "=w"(acc[3][2]), [acc33] "=w"(acc[3][3]),
        [weights] "+r"(weights), [offset] "+r"(offset), [steps] "+r"(steps)
      : [row0] "r"(rows), [row1] "r"(rows + row_bytes),
        [row2] "r"(rows + 2 * row_bytes), [row3] "r"(rows + 3 * row_bytes)
      : "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8",
        "v9", "v10", "v11", "v12", "v13", "v14", "v15");
}

#undef AQE_EOR
#undef AQE_CNT
#undef AQE_ADD
#undef AQE_ZERO
#undef AQE_DIFFER
#undef AQE_COUNT
#undef AQE_LOAD
// clang-format on

}  // namespace aqe::neon
