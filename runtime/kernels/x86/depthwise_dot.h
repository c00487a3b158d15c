// What loops/depthwise_dot.h asks of an instruction set, whose header comes
// first, for what it says of its `Register`s:
//   Vectors                             the set, as in x86/output.h
//   Bytes, kBytes                       a register, its bytes
//   load(from), store(bytes, to)        aligned
//   load_raised(from, count)            so many codes of 8 bits, or a register
//                                       if they are more, as bytes; unaligned
//   turn_lanes(bytes)                   32 bits n of 128 bits l at what was
//                                       place l of as many as there are 128
//                                       bits from place n of such on
//   low_bytes, high_bytes, low_pairs, high_pairs (a, b)
//                                       unpacked within 128 bits
//   add(sums, codes, weights)           four products each, in 32 bits
#pragma once

#include "kernels/x86/output.h"

namespace aqe {
namespace {

template <class Register>
struct DepthwiseDot {
  static constexpr int kBytes = Register::kBytes;
  static constexpr bool kIsInterleaved = true;
  using Bytes = typename Register::Bytes;

  static size_t output_bytes(const Layer&) { return 0; }
  static void pack_output(const Layer&, void*) {}
  static int raise(Type input) { return raise_of(input); }

  // Channels lie as they have to for sums to come out in their order.
  AQE_TARGET static void decode(const Layer& layer, const char* pixels,
                                int64_t count, int block, char* to) {
    const int channels = channels_in_block(layer.in_channels, block);
    const int64_t step = pixel_bytes(layer.input, layer.in_channels);
    pixels = block_at(layer.input, pixels, block);
    if (layer.input == Type::kInt8) {
      for (; count > 0; --count, pixels += step, to += kBlock) {
        for (int i = 0; i < channels; i += kBytes) {
          const Bytes bytes = Register::load_raised(pixels + i, channels - i);
          Register::store(Register::turn_lanes(bytes), to + i);
        }
      }
      return;
    }
    Register::Vectors::decode_pixels(layer.input, pixels, step, count, channels,
                                     to, kBlock);
    for (int64_t i = 0; i < count * kBlock; i += kBytes)
      Register::store(Register::turn_lanes(Register::load(to + i)), to + i);
  }

  AQE_TARGET static Bytes load(const char* from) {
    return Register::load(from);
  }
  struct Weights {
    Bytes of[4];
  };
  AQE_TARGET static Weights load_weights(const char* from) {
    return {{load(from), load(from + kBytes), load(from + 2 * kBytes),
             load(from + 3 * kBytes)}};
  }
  struct Sums {
    Bytes of[4];
  };
  AQE_TARGET static Sums load_sums(const int32_t* from) {
    constexpr int kSums = kBytes / 4;
    return {{Register::load(from), Register::load(from + kSums),
             Register::load(from + 2 * kSums),
             Register::load(from + 3 * kSums)}};
  }
  // To the first kQuarters of the sums.
  template <int kQuarters>
  AQE_TARGET static void add_four(Sums* sums, Bytes a, Bytes b, Bytes c,
                                  Bytes d, const Weights& weights) {
    const auto add = [&](int q, Bytes codes) AQE_TARGET {
      sums->of[q] = Register::add(sums->of[q], codes, weights.of[q]);
    };
    const Bytes low_ab = Register::low_bytes(a, b);
    const Bytes low_cd = Register::low_bytes(c, d);
    add(0, Register::low_pairs(low_ab, low_cd));
    if (kQuarters > 1) add(1, Register::high_pairs(low_ab, low_cd));
    if (kQuarters > 2) {
      const Bytes high_ab = Register::high_bytes(a, b);
      const Bytes high_cd = Register::high_bytes(c, d);
      add(2, Register::low_pairs(high_ab, high_cd));
      add(3, Register::high_pairs(high_ab, high_cd));
    }
  }
  AQE_TARGET static void store_sums(const Sums& sums, int32_t* to) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q)
      Register::store(sums.of[q], to + q * kBytes / 4);
  }
  AQE_TARGET static void store_pixels(const Layer& layer, const void* constants,
                                      const int32_t* sums, int count, int block,
                                      char* pixel) {
    VectorOutput<Int32Lanes>::store_pixels(layer, constants, sums, count, block,
                                           pixel);
  }
};

}  // namespace
}  // namespace aqe
