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
//     select(compared, a, b)          a where sums pass, else b
//   FloatLanes besides: all, limit, flip(floats, signs)
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/loops/tap_sums.h"

namespace aqe {

// Which lanes pass thresholds of few codes: from kBits of these the planes
// follow. Of the six of 3 bits three are compared with, by halving.
template <class Lanes, int kBits>
struct FewPasses {
  using Set = typename Lanes::Set;
  using Vector = typename Lanes::Vector;

  static constexpr int kThresholds = threshold_count(static_cast<Type>(kBits));

  typename Set::Compared passes[kBits];

  AQE_TARGET FewPasses(const typename Set::Some& some, Vector value,
                       const Vector (&thresholds)[kThresholds]) {
    if constexpr (kBits != 3) {
      for (int k = 0; k < kBits; ++k)
        passes[k] = Lanes::compare(some, value, thresholds[k]);
    } else {
      const auto middle = Lanes::compare(some, value, thresholds[2]);
      const auto outer = Lanes::compare(
          some, value, Lanes::select(middle, thresholds[4], thresholds[1]));
      // Between the two below the middle there is but one code.
      const auto last = Lanes::compare(
          some, value,
          Lanes::select(middle,
                        Lanes::select(outer, thresholds[5], thresholds[3]),
                        thresholds[0]));
      passes[0] = middle;
      passes[1] = outer;
      passes[2] = last;
    }
  }

  // From the passes of channels as bits. Thresholds between are passed as those
  // below are.
  static void planes(const uint64_t* words, uint64_t valid, uint64_t* planes) {
    if constexpr (kBits != 3) {
      planes_of_passes<kBits>(words, valid, planes);
    } else {
      const uint64_t middle = words[0], outer = words[1], last = words[2];
      planes[0] = ((middle & last) | (~middle & (outer | ~last))) & valid;
      planes[1] = ~(middle ^ outer) & valid;
      planes[2] = ~middle & valid;
    }
  }
};

// The thresholds of a block's first channels, which fill kVectors registers,
// for many pixels.
template <class Lanes, int kBits, int kVectors>
class FewThresholds {
 public:
  using Set = typename Lanes::Set;
  using Some = typename Set::Some;
  using Vector = typename Lanes::Vector;
  using Passes = FewPasses<Lanes, kBits>;

  AQE_TARGET FewThresholds(const Layer& layer, int block, int count)
      : valid_(~uint64_t{0} >> (kBlock - count)),
        last_(count - (kVectors - 1) * kLanes) {
    const typename Set::Directions directions(layer, block * kBlock, count);
    const auto* own =
        thresholds_of(layer, static_cast<const typename Lanes::Acc*>(nullptr)) +
        block * kBlock;
    for (int v = 0; v < kVectors; ++v) {
      turns_[v] = directions.at(v * kLanes);
      for (int k = 0; k < Passes::kThresholds; ++k) {
        thresholds_[v][k] = Set::load(
            some(v), own + int64_t{k} * layer.out_channels + v * kLanes);
      }
    }
  }

  // The lanes of register v that are channels.
  AQE_TARGET Some some(int v) const {
    return v == kVectors - 1 ? last_ : Some(kLanes);
  }

  AQE_TARGET void store(const Vector* values, void* group) const {
    uint64_t words[kBits] = {};
    for (int v = 0; v < kVectors; ++v) {
      const Passes found(some(v), Lanes::turn(values[v], turns_[v]),
                         thresholds_[v]);
      for (int k = 0; k < kBits; ++k)
        words[k] |= Set::bits(some(v), found.passes[k]) << v * kLanes;
    }
    Passes::planes(words, valid_, static_cast<uint64_t*>(group));
  }

 private:
  uint64_t valid_;
  Some last_;
  decltype(std::declval<const typename Set::Directions&>().at(
      0)) turns_[kVectors];
  Vector thresholds_[kVectors][Passes::kThresholds];
};

template <class Lanes>
struct VectorOutput {
  using Acc = typename Lanes::Acc;
  using Set = typename Lanes::Set;
  using Some = typename Set::Some;
  using Directions = typename Set::Directions;
  using Real = typename FloatLanes::Vector;

  static TapSums tap_sums(const Layer&, const void*) { return {}; }
  static bool decodes(const Layer&) { return false; }

  AQE_TARGET static void max(const Acc* const* rows, int count, int first,
                             int columns, Acc* best) {
    for (int i = 0; i < kBlock; i += kLanes) {
      const int64_t from = int64_t{first} * kBlock + i;
      auto most = Lanes::load(rows[0] + from);
      for (int y = 0; y < count; ++y) {
        const Acc* at = rows[y] + from;
        for (int x = 0; x < columns; ++x, at += kBlock)
          most = Lanes::max(Lanes::load(at), most);
      }
      Lanes::store(best + i, most);
    }
  }

  // acc += plus0 + plus1 - minus0 - minus1 - minus2, so many sums or, up to 64,
  // more of each.
  AQE_TARGET static void combine(const int32_t* plus0, const int32_t* plus1,
                                 const int32_t* minus0, const int32_t* minus1,
                                 const int32_t* minus2, int count,
                                 int32_t* acc) {
    for (int i = 0; i < count; i += kLanes) {
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
        return layer.sums()
                   ? store_sums(layer, acc, block, count, pixel)
                   : store_real(layer, acc, first, count,
                                reinterpret_cast<float*>(pixel) + first);
      default:
        std::memcpy(reinterpret_cast<int32_t*>(pixel) + first, acc,
                    count * sizeof(int32_t));
    }
  }

  // `store` for pixels side by side, whose sums are kBlock apart.
  AQE_TARGET static void store_pixels(const Layer& layer, const void*,
                                      const Acc* acc, int pixels, int block,
                                      char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    if (layer.rounds())
      return store_rounded<false>(layer, acc, pixels, block, pixel);
    if (rounds_alone(layer.sum))
      return store_rounded<true>(layer, acc, pixels, block, pixel);
    if (layer.output == Type::kInt8) {
      if (layer.code_bits == 1)
        return store_few_bytes<1>(layer, acc, pixels, block, pixel);
      if (layer.code_bits == 2)
        return store_few_bytes<2>(layer, acc, pixels, block, pixel);
      if (layer.code_bits == 3)
        return store_few_bytes<3>(layer, acc, pixels, block, pixel);
    }
    if (count <= kLanes) return store_few<1>(layer, acc, pixels, block, pixel);
    if (count <= 2 * kLanes)
      return store_few<2>(layer, acc, pixels, block, pixel);
    if (count <= 3 * kLanes)
      return store_few<3>(layer, acc, pixels, block, pixel);
    if (count <= 4 * kLanes)
      return store_few<4>(layer, acc, pixels, block, pixel);
    store_each(layer, acc, pixels, block, pixel);
  }

 private:
  AQE_TARGET static void store_each(const Layer& layer, const Acc* acc,
                                    int pixels, int block, char* pixel) {
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    for (int i = 0; i < pixels; ++i)
      store(layer, nullptr, acc + i * kBlock, block, pixel + i * step);
  }

  template <int kVectors>
  AQE_TARGET static void store_few(const Layer& layer, const Acc* acc,
                                   int pixels, int block, char* pixel) {
    switch (layer.output) {
      case Type::kPacked1:
        return store_few_codes<1, kVectors>(layer, acc, pixels, block, pixel);
      case Type::kPacked2:
        return store_few_codes<2, kVectors>(layer, acc, pixels, block, pixel);
      case Type::kPacked3:
        return store_few_codes<3, kVectors>(layer, acc, pixels, block, pixel);
      case Type::kFloat32:
        return store_few_floats<kVectors>(layer, acc, pixels, block, pixel);
      default:
        store_each(layer, acc, pixels, block, pixel);
    }
  }

  template <int kBits, int kVectors>
  AQE_TARGET static void store_few_codes(const Layer& layer, const Acc* acc,
                                         int pixels, int block, char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    const FewThresholds<Lanes, kBits, kVectors> codes(layer, block, count);
    pixel += int64_t{8} * block * kBits;
    for (int i = 0; i < pixels; ++i, acc += kBlock, pixel += step) {
      typename Lanes::Vector sums[kVectors];
      for (int v = 0; v < kVectors; ++v)
        sums[v] = Lanes::load(acc + v * kLanes);
      codes.store(sums, pixel);
    }
  }

  // Numbers of channels, scaled as the format scales sums.
  class Scale {
   public:
    AQE_TARGET Scale(const Layer& layer, int channel, const Some& some)
        : has_offset_(layer.offset != nullptr),
          scale_(Set::load(some, layer.scale + channel)),
          bias_(Set::load(some, layer.bias + channel)) {
      if (has_offset_) offset_ = Set::load(some, layer.offset + channel);
    }
    AQE_TARGET Real operator()(Real value) const {
      if (has_offset_) value = Set::add(value, offset_);
      return Set::add(Set::multiply(value, scale_), bias_);
    }

   private:
    bool has_offset_;
    Real scale_, bias_, offset_ = {};
  };

  // Whether all that is written are codes that floats are rounded to.
  static bool rounds_alone(const Sum& sum) {
    return sum.quantizer_count == 1 && sum.quantizers[0].rounds() &&
           sum.floats == nullptr && !sum.has_addend;
  }

  // Codes that floats are rounded to, or that a quantizer rounds them to.
  template <bool kHasQuantizer>
  AQE_TARGET static void store_rounded(const Layer& layer, const Acc* acc,
                                       int pixels, int block, char* pixel) {
    const int count = channels_in_block(layer.out_channels, block);
    const Layer& last = kHasQuantizer ? layer.sum.quantizers[0] : layer;
    if (kHasQuantizer) pixel = codes_at(layer, 0, pixel);
    const bool has_limits = kHasQuantizer && layer.sum.has_limits;
    const Real low = FloatLanes::all(layer.sum.low);
    const Real high = FloatLanes::all(layer.sum.high);
    for (int c = 0; c < count; c += kLanes) {
      const int first = block * kBlock + c;
      const Some some(count - c);
      const Scale scale(layer, first, some), rescale(last, first, some);
      auto* to = reinterpret_cast<int8_t*>(pixel) + first;
      for (int i = 0; i < pixels; ++i, to += layer.out_channels) {
        Real value = scale(Lanes::real(Lanes::load(acc + i * kBlock + c)));
        if (has_limits) value = FloatLanes::limit(value, low, high);
        if (kHasQuantizer) value = rescale(value);
        Set::store_bytes(count - c, Set::nearest_codes(value), to);
      }
    }
  }

  // Codes that are bytes, so few that a register of channels at a time holds
  // their thresholds.
  template <int kCodeBits>
  AQE_TARGET static void store_few_bytes(const Layer& layer, const Acc* acc,
                                         int pixels, int block, char* pixel) {
    constexpr int kLevels = (1 << kCodeBits) - 1;
    const int count = channels_in_block(layer.out_channels, block);
    const Directions directions(layer, block * kBlock, count);
    const auto first_code = Set::set(layer.first_code);
    for (int c = 0; c < count; c += kLanes) {
      const int first = block * kBlock + c;
      const Some some(count - c);
      const auto turn = directions.at(c);
      typename Lanes::Vector thresholds[kLevels];
#pragma GCC unroll 7
      for (int k = 0; k < kLevels; ++k) {
        thresholds[k] = Set::load(
            some, thresholds_of(layer, acc) + k * layer.out_channels + first);
      }
      auto* to = reinterpret_cast<int8_t*>(pixel) + first;
      for (int i = 0; i < pixels; ++i, to += layer.out_channels) {
        const auto value = Lanes::turn(Lanes::load(acc + i * kBlock + c), turn);
        auto code = first_code;
#pragma GCC unroll 7
        for (int k = 0; k < kLevels; ++k) {
          code = Set::add_passed(code,
                                 Lanes::compare(some, value, thresholds[k]), 1);
        }
        Set::store_bytes(count - c, code, to);
      }
    }
  }

  // Floats, and their codes from a copy that is at hand.
  template <int kVectors>
  AQE_TARGET static void store_few_floats(const Layer& layer, const Acc* acc,
                                          int pixels, int block, char* pixel) {
    const int quantizers = layer.sum.quantizer_count;
    if (quantizers == 0)
      return scale_few<kVectors>(layer, acc, pixels, block, pixel, nullptr);
    constexpr int kPixels = 32;
    alignas(64) float values[kPixels * kBlock];
    const int64_t step = pixel_bytes(layer.output, layer.out_channels);
    for (int i = 0; i < pixels; i += kPixels) {
      const int some = std::min(kPixels, pixels - i);
      char* at = pixel + i * step;
      scale_few<kVectors>(layer, acc + i * kBlock, some, block, at, values);
      for (int q = 0; q < quantizers; ++q) {
        VectorOutput<FloatLanes>::store_pixels(layer.sum.quantizers[q], nullptr,
                                               values, some, block,
                                               codes_at(layer, q, at));
      }
    }
  }

  // Floats, and a copy whose pixels are kBlock apart where that is not null.
  template <int kVectors>
  AQE_TARGET static void scale_few(const Layer& layer, const Acc* acc,
                                   int pixels, int block, char* pixel,
                                   float* copy) {
    const int first = block * kBlock;
    const int count = channels_in_block(layer.out_channels, block);
    const Sum& sum = layer.sum;
    const Real low = FloatLanes::all(sum.low), high = FloatLanes::all(sum.high);
    const Some last(count - (kVectors - 1) * kLanes);
    const auto some = [&](int v) AQE_TARGET {
      return v == kVectors - 1 ? last : Some(kLanes);
    };
    Real scale[kVectors], bias[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      scale[v] = Set::load(some(v), layer.scale + first + v * kLanes);
      bias[v] = Set::load(some(v), layer.bias + first + v * kLanes);
    }
    float* floats = reinterpret_cast<float*>(pixel) + first;
    const float* addend = nullptr;
    if (layer.sums()) {
      const int64_t at = floats - static_cast<const float*>(sum.place());
      floats = sum.floats == nullptr ? nullptr : sum.floats + at;
      addend = sum.has_addend ? sum.addend + at : nullptr;
    }
    for (int i = 0; i < pixels; ++i, acc += kBlock) {
      for (int v = 0; v < kVectors; ++v) {
        auto value = Lanes::real(Lanes::load(acc + v * kLanes));
        if (layer.offset != nullptr) {
          value = Set::add(
              value, Set::load(some(v), layer.offset + first + v * kLanes));
        }
        value = Set::add(Set::multiply(value, scale[v]), bias[v]);
        if (addend != nullptr)
          value = Set::add(Set::load(some(v), addend + v * kLanes), value);
        if (sum.has_limits) value = FloatLanes::limit(value, low, high);
        if (floats != nullptr) Set::store(some(v), value, floats + v * kLanes);
        if (copy != nullptr) FloatLanes::store(copy + v * kLanes, value);
      }
      if (addend != nullptr) addend += layer.out_channels;
      if (floats != nullptr) floats += layer.out_channels;
      if (copy != nullptr) copy += kBlock;
    }
  }

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

  // Behind float output: sums with the addend, limited, and their codes. The
  // pixel is one of sum.place().
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
      if (sum.has_limits) {
        value = FloatLanes::limit(value, FloatLanes::all(sum.low),
                                  FloatLanes::all(sum.high));
      }
      if (sum.floats != nullptr) Set::store(some, value, sum.floats + at + i);
      FloatLanes::store(values + i, value);
    }
    for (int q = 0; q < sum.quantizer_count; ++q) {
      VectorOutput<FloatLanes>::store(sum.quantizers[q], nullptr, values, block,
                                      codes_at(layer, q, pixel));
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
