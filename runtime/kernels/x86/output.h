// The output stage of the x86 kernels for the 64 sums of one pixel and block,
// and what else they do to a block of sums; the instruction set's header comes
// first.
//
// Written for what it says of its vectors there:
//   kLanes                            sums of a register
//   Set: the instruction set
//     Some(count)                     its first lanes, so many if there are
//                                     more
//     Compared                        which lanes pass a threshold, and as bits
//     Directions                      signs of the sums of a block
//     load, store, gather             some lanes
//     add, subtract, multiply         lanes
//   Lanes: vectors of one accumulator type, Int32Lanes or FloatLanes
//     load, store, max, real          of sums
//     compare(some, sums, thresholds)
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/loops/tap_sums.h"

namespace aqe {

template <class Lanes>
struct VectorOutput {
  using Acc = typename Lanes::Acc;
  using Set = typename Lanes::Set;
  using Some = typename Set::Some;
  using Directions = typename Set::Directions;

  static TapSums tap_sums(const Layer&, const void*) { return {}; }
  static bool decodes(const Layer&) { return false; }

  AQE_TARGET static void max(const Acc* acc, int rows, int stride, int columns,
                             Acc* best) {
    for (int i = 0; i < kBlock; i += kLanes) {
      auto most = Lanes::load(acc + i);
      for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x)
          most =
              Lanes::max(Lanes::load(acc + y * stride + x * kBlock + i), most);
      }
      Lanes::store(best + i, most);
    }
  }

  // acc += plus0 + plus1 - minus0 - minus1 - minus2, 64 sums each.
  AQE_TARGET static void combine(const int32_t* plus0, const int32_t* plus1,
                                 const int32_t* minus0, const int32_t* minus1,
                                 const int32_t* minus2, int32_t* acc) {
    for (int i = 0; i < kBlock; i += kLanes) {
      const auto plus =
          Set::add(Lanes::load(plus0 + i), Lanes::load(plus1 + i));
      const auto minus =
          Set::add(Set::add(Lanes::load(minus0 + i), Lanes::load(minus1 + i)),
                   Lanes::load(minus2 + i));
      Lanes::store(acc + i,
                   Set::subtract(Set::add(Lanes::load(acc + i), plus), minus));
    }
  }

  AQE_TARGET static void store(const Layer& layer, const void*, const Acc* acc,
                               int block, char* pixel) {
    const int first = block * kBlock;
    const int count = channels_in_block(layer.out_channels, block);
    switch (layer.output) {
      case Type::kPacked1:
        return store_packed<1>(layer, acc, block, count, pixel);
      case Type::kPacked2:
        return store_packed<2>(layer, acc, block, count, pixel);
      case Type::kPacked3:
        return store_packed<3>(layer, acc, block, count, pixel);
      case Type::kPacked4:
        return store_packed<4>(layer, acc, block, count, pixel);
      case Type::kInt8: {
        auto* codes = reinterpret_cast<int8_t*>(pixel) + first;
        return layer.rounds() ? store_nearest(layer, acc, first, count, codes)
                              : store_int8(layer, acc, first, count, codes);
      }
      case Type::kFloat32:
        return layer.sums() ? store_sums(layer, acc, block, count, pixel)
                            : store_real(layer, acc, first, count,
                                         reinterpret_cast<float*>(pixel) +
                                             first);
      default:
        std::memcpy(reinterpret_cast<int32_t*>(pixel) + first, acc,
                    count * sizeof(int32_t));
    }
  }

 private:
  template <int kBits>
  AQE_TARGET static void store_packed(const Layer& layer, const Acc* acc,
                                      int block, int count, char* pixel) {
    uint64_t passes[threshold_count(static_cast<Type>(kBits))] = {};
    pass<kBits>(layer, acc, block * kBlock, count, passes);
    planes_from_passes<kBits>(
        passes, count,
        reinterpret_cast<uint64_t*>(pixel) + int64_t{block} * kBits);
  }

  // Bit i of passes[k]: channel first + i passes threshold k.
  template <int kBits>
  AQE_TARGET static void pass(const Layer& layer, const Acc* acc, int first,
                              int count, uint64_t* passes) {
    constexpr int levels = threshold_count(static_cast<Type>(kBits));
    const Acc* thresholds = thresholds_of(layer, acc) + first;
    const Directions directions(layer, first, count);
    if (count == kBlock && !directions.has_negative()) {
      for (int k = 0; k < levels; ++k, thresholds += layer.out_channels) {
        typename Set::Compared parts[kBlock / kLanes];
#pragma GCC unroll 8
        for (int i = 0; i < kBlock / kLanes; ++i) {
          parts[i] = Lanes::compare(Some(kLanes), Lanes::load(acc + i * kLanes),
                                    Lanes::load(thresholds + i * kLanes));
        }
        passes[k] = Set::block_bits(parts);
      }
      return;
    }
    for (int i = 0; i < count; i += kLanes) {
      const Some some(count - i);
      const auto value = Lanes::turn(Lanes::load(acc + i), directions.at(i));
      const Acc* own = thresholds + i;
      for (int k = 0; k < levels; ++k, own += layer.out_channels) {
        const auto passed = Lanes::compare(some, value, Set::load(some, own));
        passes[k] |= Set::bits(some, passed) << i;
      }
    }
  }

  // The number of thresholds passed, one by one if they are few, else by binary
  // search.
  AQE_TARGET static void store_int8(const Layer& layer, const Acc* acc,
                                    int first, int count, int8_t* out) {
    const Acc* thresholds = thresholds_of(layer, acc);
    const Directions directions(layer, first, count);
    const auto channels = Set::set(layer.out_channels);
    for (int i = 0; i < count; i += kLanes) {
      const Some some(count - i);
      const auto value = Lanes::turn(Lanes::load(acc + i), directions.at(i));
      const auto channel = Set::add(Set::set(first + i), Set::lane_numbers());
      auto index = Set::set(0);
      constexpr int kFew = 4;  // bits of a code
      if (layer.code_bits <= kFew) {
        const Acc* own = thresholds + first + i;
        for (int k = 0; k < layer.levels(); ++k, own += layer.out_channels) {
          index = Set::add_passed(
              index, Lanes::compare(some, value, Set::load(some, own)), 1);
        }
        Set::store_bytes(count - i, Set::add(index, Set::set(layer.first_code)),
                         out + i);
        continue;
      }
      for (int step = 1 << (layer.code_bits - 1); step > 0; step /= 2) {
        const auto k = Set::add(index, Set::set(step - 1));
        const auto at = Set::add(Set::multiply(k, channels), channel);
        index = Set::add_passed(
            index,
            Lanes::compare(some, value, Set::gather(some, thresholds, at)),
            step);
      }
      Set::store_bytes(count - i, Set::add(index, Set::set(layer.first_code)),
                       out + i);
    }
  }

  AQE_TARGET static auto scaled(const Layer& layer, const Acc* acc, int channel,
                                const Some& some) {
    auto real = Lanes::real(Lanes::load(acc));
    if (layer.offset != nullptr)
      real = Set::add(real, Set::load(some, layer.offset + channel));
    const auto product =
        Set::multiply(real, Set::load(some, layer.scale + channel));
    return Set::add(product, Set::load(some, layer.bias + channel));
  }

  AQE_TARGET static void store_real(const Layer& layer, const Acc* acc,
                                    int first, int count, float* out) {
    for (int i = 0; i < count; i += kLanes) {
      const Some some(count - i);
      Set::store(some, scaled(layer, acc + i, first + i, some), out + i);
    }
  }

  // Behind float output: sums with the addend, and their codes. The pixel is
  // one of sum.place().
  AQE_TARGET static void store_sums(const Layer& layer, const Acc* acc,
                                    int block, int count, char* pixel) {
    const Sum& sum = layer.sum;
    const int first = block * kBlock;
    const int64_t at = reinterpret_cast<const float*>(pixel) -
                       static_cast<const float*>(sum.place()) + first;
    alignas(64) float values[kBlock];
    for (int i = 0; i < count; i += kLanes) {
      const Some some(count - i);
      auto value = scaled(layer, acc + i, first + i, some);
      if (sum.has_addend)
        value = Set::add(Set::load(some, sum.addend + at + i), value);
      if (sum.floats != nullptr) Set::store(some, value, sum.floats + at + i);
      FloatLanes::store(values + i, value);
    }
    if (sum.quantizer != nullptr) {
      VectorOutput<FloatLanes>::store(*sum.quantizer, nullptr, values, block,
                                      codes_at(layer, pixel));
    }
  }

  AQE_TARGET static void store_nearest(const Layer& layer, const Acc* acc,
                                       int first, int count, int8_t* out) {
    for (int i = 0; i < count; i += kLanes) {
      const auto value = scaled(layer, acc + i, first + i, Some(count - i));
      Set::store_bytes(count - i, Set::nearest_codes(value), out + i);
    }
  }
};

}  // namespace aqe
