// Convolutions by look-up with TBL: tables of 16 entries.
#include "kernels/arm/neon.h"

#include <algorithm>

#include "kernels/arm/neon_output.h"
#include "kernels/kernels.h"
#include "kernels/loops/lookup_slice.h"

namespace aqe {
namespace {

struct NeonLookup {
  static constexpr int kIndexBits = 4;
  static constexpr bool kHasCodeTables = false;
  static constexpr lookup::TileShape kShapes[] = {{4, 4}};
  static constexpr int kLeastSlicedPixels = 4;
  static constexpr int kBytes = 16;
  using Bytes = uint8x16_t;
  using Part = uint8x16_t;

  static lookup::TileShape shape(const Layer&) { return kShapes[0]; }
  static int64_t rest(const Layer&) { return 0; }

  static Bytes load(const void* from) {
    return vld1q_u8(static_cast<const uint8_t*>(from));
  }
  static void store(void* to, Bytes bytes) {
    vst1q_u8(static_cast<uint8_t*>(to), bytes);
  }
  static Bytes zero() { return vdupq_n_u8(0); }
  static Bytes set(uint8_t byte) { return vdupq_n_u8(byte); }
  static Bytes add(Bytes a, Bytes b) { return vaddq_u8(a, b); }
  static Bytes load_table(const char* table) { return load(table); }
  static Bytes look_up(Bytes table, Bytes index) {
    return vqtbl1q_u8(table, index);
  }

  struct Wide {
    uint16x8_t low, high;
  };
  static Wide no_sums() { return {vdupq_n_u16(0), vdupq_n_u16(0)}; }
  static void widen(Wide* wide, Bytes bytes) {
    wide->low = vaddw_u8(wide->low, vget_low_u8(bytes));
    wide->high = vaddw_high_u8(wide->high, bytes);
  }
  static Bytes narrow(const Wide& wide, uint16_t bias) {
    const uint16x8_t all = vdupq_n_u16(bias);
    return vqmovn_high_u16(vqmovn_u16(vqsubq_u16(wide.low, all)),
                           vqsubq_u16(wide.high, all));
  }
  static void store_wide(const Wide& wide, uint16_t* to) {
    vst1q_u16(to, wide.low);
    vst1q_u16(to + 8, wide.high);
  }
  static Bytes add_passed(Bytes passes, Bytes bytes, Bytes threshold,
                          Bytes bit) {
    return vaddq_u8(passes, vandq_u8(vcgeq_u8(bytes, threshold), bit));
  }

  static Part load_part(const void* from) { return load(from); }
  static void store_part(void* to, Part part) { store(to, part); }
  static Part no_part() { return zero(); }
  static void store_words(Part part, uint64_t* to, int64_t step) {
    vst1q_lane_u64(to, vreinterpretq_u64_u8(part), 0);
    vst1q_lane_u64(to + step, vreinterpretq_u64_u8(part), 1);
  }
  static Part low_bytes(Part a, Part b) { return vzip1q_u8(a, b); }
  static Part high_bytes(Part a, Part b) { return vzip2q_u8(a, b); }
  template <int kFirst, int kSecond>
  static Bytes pair(Bytes a, Bytes b) {
    return vreinterpretq_u8_u64(
        vcombine_u64(word<kFirst>(a), word<kSecond>(b)));
  }
  static void store_parts(Bytes bytes, uint64_t* to, int64_t) {
    store_part(to, bytes);
  }
  static void interleave_pairs(Part (&parts)[8]) {
    Part result[8];
    for (int i = 0; i < 4; ++i) {
      const uint16x8_t a = vreinterpretq_u16_u8(parts[i]);
      const uint16x8_t b = vreinterpretq_u16_u8(parts[4 + i]);
      result[2 * i] = vreinterpretq_u8_u16(vzip1q_u16(a, b));
      result[2 * i + 1] = vreinterpretq_u8_u16(vzip2q_u16(a, b));
    }
    std::copy_n(result, 8, parts);
  }
  static void store_sums(Part part, int halved, const int32_t* offset,
                         int32_t* acc) {
    const uint16x8_t sums = vreinterpretq_u16_u8(part);
    const int32x4_t places = vdupq_n_s32(halved);
    const uint32x4_t low = vshlq_u32(vmovl_u16(vget_low_u16(sums)), places);
    const uint32x4_t high = vshlq_u32(vmovl_high_u16(sums), places);
    vst1q_s32(acc, vsubq_s32(vreinterpretq_s32_u32(low), vld1q_s32(offset)));
    vst1q_s32(acc + 4,
              vsubq_s32(vreinterpretq_s32_u32(high), vld1q_s32(offset + 4)));
  }

  template <int kPlace>
  static Part pick(Part part, int bit, uint8_t mask) {
    const int8x16_t right = vdupq_n_s8(static_cast<int8_t>(-bit));
    return vshlq_n_u8(vandq_u8(vshlq_u8(part, right), vdupq_n_u8(mask)),
                      kPlace);
  }
  template <int kBits, class Word>
  static void slice(const Word* words, int64_t stride, int64_t count,
                    int indices, uint8_t* to, int64_t step) {
    lookup::slice_words<NeonLookup, kBits>(words, stride, count, indices, to,
                                           step);
  }

  static size_t output_bytes(const Layer& layer) {
    return neon::output_bytes(layer);
  }
  static void pack_output(const Layer& layer, void* constants) {
    neon::pack_output(layer, constants);
  }
  static void store_output(const Layer& layer, const void* constants,
                           const int32_t* acc, int pixels, int block,
                           char* pixel) {
    neon::NeonOutput<int32_t>::store_pixels(layer, constants, acc, pixels,
                                            block, pixel);
  }

 private:
  template <int kWord>
  static uint64x1_t word(Bytes bytes) {
    const uint64x2_t words = vreinterpretq_u64_u8(bytes);
    return kWord == 0 ? vget_low_u64(words) : vget_high_u64(words);
  }
};

// Whether look-ups of 2-bit or 3-bit codes take fewer cycles than the dot
// product, which gathers codes for each position and has sums to write for each
// channel.
bool is_shorter_than_dot(const Layer& layer) {
  const int64_t products = layer.weights_per_output();
  const int64_t channels = layer.out_channels;
  return layer.input == Type::kPacked2
             ? products * channels <= 64 * channels + 20 * products
             : products * channels <= 20 * channels + 8 * products;
}

// Where planes, whose words are fuller, or products of codes do not take less.
bool is_worthwhile(const Layer& layer) {
  const int64_t products = layer.weights_per_output();
  const bool is_xnor = layer.weight_bits == 1 ||
                       (layer.input == Type::kPacked1 && layer.weight_bits < 3);
  const bool fills_words = layer.in_channels >= kBlock;
  if (!lookup::fills_registers<NeonLookup>(layer)) return false;
  if (layer.groups > 1) return true;
  if (layer.input == Type::kPacked1) {
    const bool is_long = is_xnor && fills_words && neon::has_dot();
    return products <= (is_long ? 256 : 576);
  }
  if (is_xnor && fills_words) return false;
  if (neon::has_dot()) return is_shorter_than_dot(layer);
  return products <= (layer.input == Type::kPacked2 ? 576 : 432);
}

}  // namespace

extern constexpr Kernel kConvLookupNeon =
    lookup::ConvKernel<NeonLookup>::kernel("conv_2d_lookup_neon", 0,
                                           is_worthwhile);

}  // namespace aqe
