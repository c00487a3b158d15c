// Dense layers with AVX-512 where a sum is no count of bits: codes against
// weights of 1, 2 or 4 bits (3 bits take 4) that are decoded in registers, since
// at batch 1 memory is what bounds a dense layer.
//
// Codes: a register of weights holds 8, 4 or 2 steps of 16 output channels by
// four inputs, one step in the lowest bits of each byte, the next above it.
// Float: a register holds eight inputs of 16 output channels, four bits each.
#include <immintrin.h>

#include "kernels/avx512_codes.h"
#include "kernels/kernels.h"

#define AQE_AVX512_VNNI   \
  __attribute__((target(  \
      "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))

namespace aqe {
namespace {

constexpr int kRows = 4;  // of the batch at a time
constexpr int kVectors = kBlock / kLanes;

// Bits of a weight as it is stored.
constexpr int field_bits(int weight_bits) {
  return weight_bits == 3 ? 4 : weight_bits;
}

template <int kField>
struct Codes {
  using Lanes = Int32Lanes;
  static constexpr int kSteps = 8 / kField;  // of a register

  AQE_AVX512_VNNI static inline __m512i table(int weight_bits) {
    alignas(16) char values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<char>(code_from_planes(weight_bits, i));
    return _mm512_broadcast_i32x4(
        _mm_load_si128(reinterpret_cast<const __m128i*>(values)));
  }
  AQE_AVX512_VNNI static inline __m512i weights(__m512i packed, int step,
                                                __m512i table) {
    const __m512i field = _mm512_set1_epi8((1 << kField) - 1);
    return _mm512_shuffle_epi8(
        table,
        _mm512_and_si512(_mm512_srli_epi16(packed, step * kField), field));
  }
  AQE_AVX512_VNNI static inline __m512i broadcast(const char* patch) {
    int32_t bytes;
    std::memcpy(&bytes, patch, 4);
    return _mm512_set1_epi32(bytes);
  }
  AQE_AVX512_VNNI static inline __m512i add(__m512i acc, __m512i in,
                                            __m512i w) {
    return _mm512_dpbusd_epi32(acc, in, w);
  }
};

struct Floats {
  using Lanes = FloatLanes;
  static constexpr int kSteps = 8;

  AQE_AVX512_VNNI static inline __m512 table(int weight_bits) {
    alignas(64) float values[16] = {};
    for (int i = 0; i < 1 << weight_bits; ++i)
      values[i] = static_cast<float>(code_from_planes(weight_bits, i));
    return _mm512_load_ps(values);
  }
  AQE_AVX512_VNNI static inline __m512 weights(__m512i packed, int step,
                                               __m512 table) {
    return _mm512_permutexvar_ps(_mm512_srli_epi32(packed, 4 * step), table);
  }
  AQE_AVX512_VNNI static inline __m512 broadcast(const char* patch) {
    return _mm512_set1_ps(*reinterpret_cast<const float*>(patch));
  }
  // Product and sum are rounded each: a product may be too large for a float.
  AQE_AVX512_VNNI static inline __m512 add(__m512 acc, __m512 in, __m512 w) {
    return _mm512_add_ps(acc, _mm512_mul_ps(in, w));
  }
};

// kRowCount rows times 64 output channels; a chunk is what a register holds.
template <class Method, int kRowCount>
AQE_AVX512_VNNI void multiply_rows(const char* patch, size_t stride,
                                   const char* packed, int64_t chunks,
                                   int weight_bits,
                                   const typename Method::Lanes::Acc* init,
                                   typename Method::Lanes::Acc* acc) {
  using Lanes = typename Method::Lanes;
  typename Lanes::Vector sums[kRowCount][kVectors];
#pragma GCC unroll 4
  for (int r = 0; r < kRowCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = Lanes::load(init + v * kLanes);
  }
  const auto table = Method::table(weight_bits);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    __m512i w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      w[v] = _mm512_load_si512(packed + v * 64);
#pragma GCC unroll 8
    for (int step = 0; step < Method::kSteps; ++step) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const auto decoded = Method::weights(w[v], step, table);
#pragma GCC unroll 4
        for (int r = 0; r < kRowCount; ++r) {
          const auto in = Method::broadcast(
              patch + r * stride + (chunk * Method::kSteps + step) * 4);
          sums[r][v] = Method::add(sums[r][v], in, decoded);
        }
      }
    }
    packed += kVectors * 64;
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRowCount; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      Lanes::store(acc + r * kBlock + v * kLanes, sums[r][v]);
  }
}

int64_t steps_of_register(const Layer& layer) {
  return layer.float_accumulator() ? 8 : 8 / field_bits(layer.weight_bits);
}

// Registers of weights for 16 output channels.
int64_t chunks_of(const Layer& layer) {
  const int64_t steps =
      window_taps(layer) * static_cast<int64_t>(patch_pixel_bytes(layer) / 4);
  return (steps + steps_of_register(layer) - 1) / steps_of_register(layer);
}

// Constants: what the sums start with, int32 or float of each output channel;
// weights [block][chunk][vector], 64 bytes each.
size_t init_bytes(const Layer& layer) {
  return sizeof(int32_t) * kBlock * block_count(layer.out_channels);
}

size_t constants_bytes(const Layer& layer) {
  return init_bytes(layer) + size_t{kBlock} * 4 *
                                 block_count(layer.out_channels) *
                                 chunks_of(layer);
}

void pack(const Layer& layer, void* constants) {
  auto* bytes = static_cast<uint8_t*>(constants);
  std::fill_n(bytes, constants_bytes(layer), 0);
  auto* init = reinterpret_cast<int32_t*>(bytes);
  uint8_t* weights = bytes + init_bytes(layer);
  const bool is_real = layer.float_accumulator();
  const int field = is_real ? 4 : field_bits(layer.weight_bits);
  const int64_t steps = steps_of_register(layer);
  for (int o = 0; o < layer.out_channels; ++o) {
    int64_t sum = 0;
    for (int64_t i = 0; i < layer.weights_per_output(); ++i) {
      const int code = weight_code(layer, o, i);
      const int64_t byte =
          i / layer.in_channels *
              static_cast<int64_t>(patch_pixel_bytes(layer)) +
          i % layer.in_channels * (is_real ? 4 : 1);
      const int64_t step = byte / 4;
      uint8_t* lane =
          weights + ((o / kBlock * chunks_of(layer) + step / steps) * kVectors +
                     o % kBlock / kLanes) *
                        64 +
          o % kLanes * 4;
      const int64_t bit = is_real ? step % steps * field
                                  : byte % 4 * 8 + step % steps * field;
      lane[bit / 8] |= static_cast<uint8_t>(
          planes_from_code(layer.weight_bits, code) << (bit % 8));
      sum += code;
    }
    if (!is_real)
      init[o] =
          static_cast<int32_t>(static_cast<uint32_t>(-raise_of(layer.input) * sum));
  }
}

template <class Method>
struct Dense {
  using Acc = typename Method::Lanes::Acc;

  static size_t pixel_bytes(const Layer& layer) {
    return patch_pixel_bytes(layer);
  }
  static size_t patch_bytes(const Layer& layer) {
    return round_up(chunks_of(layer) * Method::kSteps * 4, 64);
  }
  static size_t block_bytes(const Layer& layer) {
    return chunks_of(layer) * kVectors * 64;
  }
  static bool needs_correction(const Layer&) { return false; }

  static void load(const Layer& layer, const char* pixels, int count,
                   char* to) {
    load_pixels(layer, pixels, count, to);
  }
  static void pad(const Layer&, const void*, int, char*) {}
  static void finish(const Layer& layer, char* patch) {
    const size_t filled = window_taps(layer) * pixel_bytes(layer);
    std::memset(patch + filled, 0, patch_bytes(layer) - filled);
  }

  static void multiply(const Layer& layer, const void* constants,
                       const char* patches, int rows, int block, Acc* acc) {
    const auto* bytes = static_cast<const char*>(constants);
    const size_t stride = patch_bytes(layer);
    const int64_t chunks = chunks_of(layer);
    const char* weights =
        bytes + init_bytes(layer) + block * chunks * kVectors * 64;
    const auto* init = reinterpret_cast<const Acc*>(bytes) + block * kBlock;
    const auto run = layer.batch == 1 ? multiply_rows<Method, 1>
                                      : multiply_rows<Method, kRows>;
    for (int r = 0; r < rows; r += kRows)
      run(patches + r * stride, stride, weights, chunks, layer.weight_bits,
          init, acc + r * kBlock);
  }

  static void correct(const Layer&, const void*, int64_t, int, Acc*) {}
  static void max(const Acc*, Acc*) {}
  static void store(const Layer& layer, const Acc* acc, int block,
                    char* pixel) {
    store_lanes<typename Method::Lanes>(layer, acc, block, pixel);
  }
};

template <class Call>
auto with_method(const Layer& layer, Call call) {
  if (layer.float_accumulator()) return call(Dense<Floats>());
  switch (field_bits(layer.weight_bits)) {
    case 1:
      return call(Dense<Codes<1>>());
    case 2:
      return call(Dense<Codes<2>>());
    default:
      return call(Dense<Codes<4>>());
  }
}

size_t scratch_bytes(const Layer& layer) {
  return with_method(layer, [&](auto method) {
    return tile_scratch_bytes<decltype(method)>(layer);
  });
}

int64_t units(const Layer& layer) {
  return with_method(
      layer, [&](auto method) { return tile_units<decltype(method)>(layer); });
}

void run(const Layer& layer, const void* constants, const void* input,
         void* output, void* scratch, int64_t begin, int64_t end) {
  with_method(layer, [&](auto method) {
    run_tiles<decltype(method)>(layer, constants, input, output, scratch, begin,
                                end);
  });
}

constexpr Kernel dense_kernel(const char* name, WidthSet inputs,
                              uint32_t features) {
  return {name,
          Operator::kFullyConnected,
          inputs,
          width_set(1, 2, 3, 4),
          features,
          kRows,
          kBlock,
          nullptr,
          constants_bytes,
          pack,
          scratch_bytes,
          units,
          run};
}

}  // namespace

extern const Kernel kDenseDotAvx512 = dense_kernel(
    "fully_connected_dot_avx512",
    width_set(Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kPacked4,
              Type::kInt8),
    kAvx512 | kAvx512Vnni);
extern const Kernel kDenseFloatAvx512 =
    dense_kernel("fully_connected_float_avx512", width_set(Type::kFloat32),
                 kAvx512);

}  // namespace aqe
