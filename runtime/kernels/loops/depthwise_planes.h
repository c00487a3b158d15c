// Depthwise convolutions of 1 and 2 bits on bit planes. A lane of a vector is a
// position, a bit of it a channel: sums are counted bit by bit, as adders in
// hardware do, and compared with thresholds in that form.
//
// What is counted at each tap are two bits, whether the product is 1 and
// whether it is not -1, so that the count is the sum and the number of taps.
//
// A `Method` says
//   kVectorBytes                       of the vectors of AQE_TARGET
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "keras_aqe/codes.h"
#include "keras_aqe/kernel.h"
#include "kernels/loops/depthwise.h"

namespace aqe {

constexpr int kMostPlaneTaps = 31;

// Bits that hold the count and one more than its greatest.
constexpr int count_bits(int64_t taps) { return taps <= 15 ? 5 : 6; }

inline bool supports_depthwise_planes(const Layer& layer) {
  return layer.in_channels == layer.out_channels && is_packed(layer.output) &&
         layer.weights_per_output() <= kMostPlaneTaps &&
         std::abs(layer.pad_value) <= 1;
}

// Which of 64 codes are not 0, and which are negative.
struct Signs {
  uint64_t some, negative;
};

// Constants of a block: Signs of the weights [tap], then for each threshold the
// planes of the least count that passes it, then the channels that pass where
// they would not: those of direction -1.
struct DepthwisePlanes {
  explicit DepthwisePlanes(const Layer& layer)
      : taps(layer.weights_per_output()),
        bits(count_bits(taps)),
        words(2 * taps + int64_t{layer.levels()} * bits + 1) {}

  int64_t taps;
  int bits;
  int64_t words;  // of a block
};

inline size_t depthwise_planes_bytes(const Layer& layer) {
  return sizeof(uint64_t) * DepthwisePlanes(layer).words *
         block_count(layer.out_channels);
}

inline void pack_depthwise_planes(const Layer& layer, void* constants) {
  const DepthwisePlanes at(layer);
  std::memset(constants, 0, depthwise_planes_bytes(layer));
  for (int o = 0; o < layer.out_channels; ++o) {
    uint64_t* block = static_cast<uint64_t*>(constants) + o / kBlock * at.words;
    const uint64_t bit = uint64_t{1} << o % kBlock;
    for (int64_t tap = 0; tap < at.taps; ++tap) {
      const int code = weight_code(layer, o, tap);
      if (code != 0) block[2 * tap] |= bit;
      if (code < 0) block[2 * tap + 1] |= bit;
    }
    uint64_t* planes = block + 2 * at.taps;
    for (int k = 0; k < layer.levels(); ++k, planes += at.bits) {
      // -sum >= t where not sum >= 1 - t.
      const int64_t threshold =
          layer.thresholds[int64_t{k} * layer.out_channels + o];
      const int64_t least = layer.direction[o] > 0 ? threshold : 1 - threshold;
      const auto count = static_cast<uint64_t>(
          std::clamp<int64_t>(least + at.taps, 0, 2 * at.taps + 1));
      for (int p = 0; p < at.bits; ++p) {
        if (count >> p & 1) planes[p] |= bit;
      }
    }
    if (layer.direction[o] < 0) *planes |= bit;
  }
}

// Signs of rows of the input, for all rows of outputs that see them. Columns
// that are a stride apart lie side by side, as do the positions that see them.
class SignRows {
 public:
  explicit SignRows(const Layer& layer)
      : layer_(layer),
        rows_(int64_t{layer.window.height - 1} * layer.window.dilation_y + 1) {
    const int64_t reach =
        int64_t{layer.window.width - 1} * layer.window.dilation_x;
    const int stride = layer.window.stride_x;
    columns_ = (int64_t{layer.out_width} - 1) * stride + reach + 1;
    room_ =
        static_cast<int64_t>(round_up(layer.out_width, 8)) + reach / stride + 1;
  }

  size_t bytes() const {
    return sizeof(uint64_t) * rows_ * (1 + 2 * plane_words());
  }
  // From the words that say which codes are not 0 to those of negative ones.
  int64_t plane_words() const { return layer_.window.stride_x * room_; }
  // Where the words lie that a column of the window has for position 0.
  int64_t column(int kx) const {
    const int64_t i = int64_t{kx} * layer_.window.dilation_x;
    return i % layer_.window.stride_x * room_ + i / layer_.window.stride_x;
  }

  void start(const void* input, void* memory) {
    input_ = input;
    keys_ = static_cast<int64_t*>(memory);
    std::fill_n(keys_, rows_, -1);
  }

  // Row y of a block of image n, counted from the first row of padding. `key`
  // is of the image and the block.
  const uint64_t* row(int64_t key, int64_t n, int block, int64_t y) {
    const int64_t slot = y % rows_;
    uint64_t* const row =
        reinterpret_cast<uint64_t*>(keys_ + rows_) + slot * 2 * plane_words();
    key = (key << 32) + y;
    if (keys_[slot] == key) return row;
    keys_[slot] = key;
    const int64_t in_y = y - layer_.window.pad_top;
    const bool is_inside = in_y >= 0 && in_y < layer_.in_height;
    const int planes = bits(layer_.input);
    const int64_t step = pixel_elements(layer_.input, layer_.in_channels);
    const uint64_t* pixels =
        static_cast<const uint64_t*>(input_) +
        (n * layer_.in_height + in_y) * layer_.in_width * step +
        int64_t{block} * planes;
    const Signs padding = {layer_.pad_value != 0 ? ~uint64_t{0} : 0,
                           layer_.pad_value < 0 ? ~uint64_t{0} : 0};
    const int stride = layer_.window.stride_x;
    for (int phase = 0; phase < stride; ++phase) {
      uint64_t* to = row + phase * room_;
      for (int64_t i = phase; i < columns_; i += stride, ++to) {
        const int64_t x = i - layer_.window.pad_left;
        Signs signs = padding;
        if (is_inside && x >= 0 && x < layer_.in_width) {
          const uint64_t* group = pixels + x * step;
          signs = {planes == 1 ? ~uint64_t{0} : group[0], group[planes - 1]};
        }
        to[0] = signs.some;
        to[plane_words()] = signs.negative;
      }
    }
    return row;
  }

 private:
  const Layer& layer_;
  const void* input_ = nullptr;
  int64_t rows_, columns_, room_;
  int64_t* keys_ = nullptr;
};

inline size_t depthwise_planes_scratch_bytes(const Layer& layer) {
  return SignRows(layer).bytes();
}

// As many words as fill a vector.
template <int kVectorBytes>
struct PlaneWords {
  typedef uint64_t Words __attribute__((vector_size(kVectorBytes)));
};

// a + b + c: the sum stays in a, the carry is returned in c.
template <class Words>
inline __attribute__((always_inline)) void full_add(Words* a, const Words& b,
                                                    Words* c) {
  const Words either = *a ^ b;
  const Words carry = (*a & b) | (either & *c);
  *a = either ^ *c;
  *c = carry;
}

// Adds a carry to the bits of a count from the lowest on.
template <class Words>
inline __attribute__((always_inline)) void add_carry(Words* bits, int count,
                                                     const Words& first) {
  Words carry = first;
#pragma GCC unroll 6
  for (int k = 0; k < count; ++k) {
    const Words next = bits[k] & carry;
    bits[k] ^= carry;
    carry = next;
  }
}

// One position in each lane, from x on.
template <class Method, int kCountBits, int kOutputBits, class Words>
AQE_TARGET inline void depthwise_plane_codes(const Layer& layer,
                                             const uint64_t* const* rows,
                                             int64_t negative,
                                             const int64_t* columns, int64_t x,
                                             const uint64_t* constants,
                                             uint64_t valid, Words* codes) {
  const Window& window = layer.window;
  Words count[kCountBits] = {}, odd = {};
  bool is_odd = false;
  for (int ky = 0; ky < window.height; ++ky) {
    for (int kx = 0; kx < window.width; ++kx, constants += 2) {
      const uint64_t* word = rows[ky] + columns[kx] + x;
      Words some, sign;
      std::memcpy(&some, word, sizeof some);
      std::memcpy(&sign, word + negative, sizeof sign);
      some &= constants[0];
      sign ^= constants[1];
      Words carry = ~(some & sign);
      full_add(&count[0], some & ~sign, &carry);
      // Carries of two taps are added up together.
      if (is_odd) {
        full_add(&count[1], odd, &carry);
        add_carry(count + 2, kCountBits - 2, carry);
      } else {
        odd = carry;
      }
      is_odd = !is_odd;
    }
  }
  if (is_odd) add_carry(count + 1, kCountBits - 1, odd);
  constexpr int levels = threshold_count(static_cast<Type>(kOutputBits));
  Words passes[levels];
  for (int k = 0; k < levels; ++k, constants += kCountBits) {
    Words borrow = {};  // of the count less the threshold
#pragma GCC unroll 6
    for (int p = 0; p < kCountBits; ++p)
      borrow =
          (~count[p] & constants[p]) | (borrow & (~count[p] | constants[p]));
    passes[k] = ~borrow ^ constants[int64_t{levels - k} * kCountBits];
  }
  planes_of_passes<kOutputBits>(passes, Words{} + valid, codes);
}

template <class Method, int kCountBits, int kOutputBits>
AQE_TARGET void run_depthwise_planes(const Layer& layer, const void* constants,
                                     const void* input, void* output,
                                     void* scratch, int64_t begin,
                                     int64_t end) {
  using Words = typename PlaneWords<Method::kVectorBytes>::Words;
  constexpr int kLanes = Method::kVectorBytes / sizeof(uint64_t);
  const Window& window = layer.window;
  const int blocks = block_count(layer.out_channels);
  const DepthwisePlanes at(layer);
  SignRows signs(layer);
  signs.start(input, scratch);
  int64_t columns[kMostPlaneTaps];
  for (int kx = 0; kx < window.width; ++kx) columns[kx] = signs.column(kx);
  for (int64_t unit = begin; unit < end; ++unit) {
    const DepthwiseUnit own(layer, unit);
    const uint64_t* rows[kMostPlaneTaps];
    for (int ky = 0; ky < window.height; ++ky) {
      rows[ky] =
          signs.row(own.part, own.n, own.block,
                    own.y * window.stride_y + int64_t{ky} * window.dilation_y);
    }
    const int count = channels_in_block(layer.out_channels, own.block);
    const uint64_t valid = ~uint64_t{0} >> (kBlock - count);
    auto* group =
        static_cast<uint64_t*>(output) +
        ((own.n * layer.out_height + own.y) * layer.out_width * blocks +
         own.block) *
            kOutputBits;
    for (int64_t x = 0; x < layer.out_width; x += kLanes) {
      Words codes[kOutputBits];
      depthwise_plane_codes<Method, kCountBits, kOutputBits>(
          layer, rows, signs.plane_words(), columns, x,
          static_cast<const uint64_t*>(constants) + own.block * at.words, valid,
          codes);
      const int64_t lanes = std::min<int64_t>(kLanes, layer.out_width - x);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        for (int p = 0; p < kOutputBits; ++p) group[p] = codes[p][lane];
        group += int64_t{blocks} * kOutputBits;
      }
    }
  }
}

template <class Method, int kCountBits>
decltype(Kernel::run) depthwise_planes_of(Type output) {
  switch (output) {
    case Type::kPacked1:
      return run_depthwise_planes<Method, kCountBits, 1>;
    case Type::kPacked2:
      return run_depthwise_planes<Method, kCountBits, 2>;
    case Type::kPacked3:
      return run_depthwise_planes<Method, kCountBits, 3>;
    default:
      return run_depthwise_planes<Method, kCountBits, 4>;
  }
}

template <class Method>
void run_depthwise_planes(const Layer& layer, const void* constants,
                          const void* input, void* output, void* scratch,
                          int64_t begin, int64_t end) {
  const auto run = count_bits(layer.weights_per_output()) == 5
                       ? depthwise_planes_of<Method, 5>(layer.output)
                       : depthwise_planes_of<Method, 6>(layer.output);
  run(layer, constants, input, output, scratch, begin, end);
}

template <class Method>
constexpr Kernel depthwise_planes_kernel(const char* name, uint32_t features) {
  return {name,
          Operator::kDepthwiseConv2D,
          width_set(Type::kPacked1, Type::kPacked2),
          width_set(1, 2),
          features,
          Method::kVectorBytes / 8,
          kBlock,
          supports_depthwise_planes,
          depthwise_planes_bytes,
          pack_depthwise_planes,
          depthwise_planes_scratch_bytes,
          depthwise_units,
          run_depthwise_planes<Method>};
}

}  // namespace aqe
