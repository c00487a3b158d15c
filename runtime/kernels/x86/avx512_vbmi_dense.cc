// Dense layers with weights of 3 bits that take 3 bits, with the dot product of
// AVX-512 VNNI: the look-ups of VBMI read six bits of a byte, two weights, and
// leave out the two above, so that they pick either weight without a shift or a
// mask.
#include "kernels/x86/avx512.h"

#include <immintrin.h>

#include "kernels/kernels.h"
#include "kernels/x86/dot_dense.h"

#define AQE_AVX512_VBMI                                     \
  __attribute__((                                           \
      target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl," \
             "avx512vnni,avx512vbmi")))

namespace aqe {
namespace {

constexpr int kRows = 4;  // of the batch at a time
constexpr int kVectors = kBlock / kLanes;

// Eight steps in three parts: each part holds two steps in the low six bits of
// its bytes, and its two high bits are one of three pairs of another two steps,
// the first part's the lowest.
struct Threes {
  static constexpr int kParts = 3;
  static constexpr int kBytes = kParts * 4 * kBlock;
  static constexpr int kSteps = 8;

  static int64_t steps(const Layer&) { return kSteps; }
  static void put(const Layer&, unsigned planes, int step, int input,
                  uint8_t* own) {
    for (int p = 0; p < 3; ++p) {
      const int bit = step % 2 * 3 + p;
      const bool is_whole = step / 2 < kParts;
      const int part = is_whole ? step / 2 : bit / 2;
      own[part * 4 * kBlock + input] |= static_cast<uint8_t>(
          (planes >> p & 1) << (is_whole ? bit : 6 + bit % 2));
    }
  }
};

// Codes by six bits: those of the weight in the bits from `first` on.
AQE_AVX512_VBMI inline __m512i table(int first) {
  alignas(64) char values[64];
  for (int i = 0; i < 64; ++i)
    values[i] = static_cast<char>(code_from_planes(3, i >> first & 7));
  return _mm512_load_si512(values);
}

AQE_AVX512_VBMI inline __m512i broadcast(const char* patch) {
  int32_t bytes;
  std::memcpy(&bytes, patch, 4);
  return _mm512_set1_epi32(bytes);
}

// The bits of `mask` from `low`, the others from `high`.
AQE_AVX512_VBMI inline __m512i join(__m512i low, __m512i high, char mask) {
  constexpr int kFirstWhereThird = 0xe4;  // else the second
  return _mm512_ternarylogic_epi64(low, high, _mm512_set1_epi8(mask),
                                   kFirstWhereThird);
}

// kRowCount rows times 64 output channels.
template <int kRowCount>
AQE_AVX512_VBMI void multiply_rows(const char* patch, size_t stride,
                                   const char* packed, int64_t chunks,
                                   const int32_t* init, int32_t* acc) {
  __m512i sums[kRowCount][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRowCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = Int32Lanes::load(init + v * kLanes);
  }
  const __m512i tables[] = {table(0), table(3)};
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      __m512i pairs[Threes::kSteps / 2];
#pragma GCC unroll 3
      for (int part = 0; part < Threes::kParts; ++part) {
        const char* at = packed + part * 4 * kBlock + v * 64;
        _mm_prefetch(at + kAhead, _MM_HINT_T0);
        pairs[part] = _mm512_load_si512(at);
      }
      const __m512i upper = join(_mm512_srli_epi16(pairs[1], 4),
                                 _mm512_srli_epi16(pairs[2], 2), 0x0f);
      pairs[3] = join(_mm512_srli_epi16(pairs[0], 6), upper, 0x03);
#pragma GCC unroll 8
      for (int step = 0; step < Threes::kSteps; ++step) {
        const __m512i w =
            _mm512_permutexvar_epi8(pairs[step / 2], tables[step % 2]);
#pragma GCC unroll 4
        for (int r = 0; r < kRowCount; ++r) {
          sums[r][v] = _mm512_dpbusd_epi32(
              sums[r][v], broadcast(patch + r * stride + step * 4), w);
        }
      }
    }
    patch += Threes::kSteps * 4;
    packed += Threes::kBytes;
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRowCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      Int32Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
  }
}

struct Rows {
  using Chunk = Threes;
  using Lanes = Int32Lanes;

  static void multiply(const Layer& layer, const char* patches, size_t stride,
                       int rows, const char* weights, int64_t chunks,
                       const int32_t* init, int32_t* acc) {
    const auto run = layer.batch == 1 ? multiply_rows<1> : multiply_rows<kRows>;
    for (int r = 0; r < rows; r += kRows)
      run(patches + r * stride, stride, weights, chunks, init,
          acc + r * kBlock);
  }
};

struct Choose {
  template <class Call>
  static auto with_method(const Layer&, Call call) {
    return call(DotDense<Rows>());
  }
};
using Tiled = TiledKernel<Choose>;

}  // namespace

extern const Kernel kDenseDotAvx512Vbmi = {
    "fully_connected_dot_avx512_vbmi",
    Operator::kFullyConnected,
    width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kPacked4,
              Type::kInt8),
    width_set(3),
    kAvx512 | kAvx512Vnni | kAvx512Gfni,
    kRows,
    kBlock,
    nullptr,
    dense_constants_bytes<Threes>,
    pack_dense<Threes>,
    Tiled::scratch_bytes,
    Tiled::units,
    Tiled::run};

}  // namespace aqe
