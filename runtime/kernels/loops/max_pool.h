// Max pools of codes, a row of outputs at a time: the greatest of the rows that
// the windows see, then of the columns. Planes lie apart in scratch memory, so
// that all loops are over neighbouring words or bytes, which compilers turn
// into the vectors of AQE_TARGET. A `Method` names the instruction set.
#pragma once

#include <algorithm>
#include <type_traits>

#include "keras_aqe/kernel.h"
#include "kernels/loops/blocks.h"

namespace aqe {

// Elements of a row of pixels with padding on both sides: words of one plane,
// or bytes.
class PoolRow {
 public:
  explicit PoolRow(const Layer& layer)
      : across_(is_packed(layer.input) ? words(layer.in_channels)
                                       : layer.in_channels) {
    const Window& window = layer.window;
    positions_ = (int64_t{layer.out_width} - 1) * window.stride_x + 1;
    columns_ = positions_ + int64_t{window.width - 1} * window.dilation_x;
    begin_ = std::min<int64_t>(window.pad_left, columns_);
    end_ =
        std::min<int64_t>(window.pad_left + int64_t{layer.in_width}, columns_);
  }

  int64_t across() const { return across_; }  // of a pixel
  // Where a window of stride 1 may begin.
  int64_t positions() const { return positions_ * across_; }
  // The pixels of the input.
  int64_t begin() const { return begin_ * across_; }
  int64_t end() const { return end_ * across_; }
  int64_t room() const {
    return static_cast<int64_t>(round_up(columns_ * across_, kBlock));
  }

 private:
  int64_t across_, positions_, columns_, begin_, end_;
};

// The greater of two codes, by their planes.
template <int kPlanes>
inline __attribute__((always_inline)) void keep_greater(const uint64_t* codes,
                                                        uint64_t* best) {
  constexpr int sign = kPlanes - 1;
  uint64_t equal = ~uint64_t{0}, larger = 0;  // the magnitudes
  for (int p = sign - 1; p >= 0; --p) {
    larger |= equal & codes[p] & ~best[p];
    equal &= ~(codes[p] ^ best[p]);
  }
  const uint64_t both = codes[sign] & best[sign];
  const uint64_t greater = (best[sign] & ~codes[sign]) |
                           (~(codes[sign] | best[sign]) & larger) |
                           (both & ~larger & ~equal);
  for (int p = 0; p < kPlanes; ++p) best[p] ^= (best[p] ^ codes[p]) & greater;
}

template <int kPlanes>
inline __attribute__((always_inline)) void keep_greater(const int8_t* codes,
                                                        int8_t* best) {
  *best = std::max(*best, *codes);
}

// Keeps in `best` the greater of `count` codes. Planes of `from` lie together,
// as those of a pixel, or apart as in `best`.
template <class Method, class Element, int kPlanes, bool kTogether>
AQE_TARGET inline void keep_greater_codes(const Element* __restrict from,
                                          int64_t count, int64_t room,
                                          Element* __restrict best) {
  for (int64_t i = 0; i < count; ++i) {
    Element codes[kPlanes], most[kPlanes];
    for (int p = 0; p < kPlanes; ++p) {
      codes[p] = kTogether ? from[i * kPlanes + p] : from[p * room + i];
      most[p] = best[p * room + i];
    }
    keep_greater<kPlanes>(codes, most);
    for (int p = 0; p < kPlanes; ++p) best[p * room + i] = most[p];
  }
}

// `rows` and `best` have room for kPlanes planes of a row each.
template <class Method, class Element, int kPlanes>
AQE_TARGET void max_pool_rows(const Layer& layer, const Element* input,
                              Element* output, Element* rows, int64_t begin,
                              int64_t end) {
  const Window& window = layer.window;
  const PoolRow at(layer);
  const int64_t across = at.across(), room = at.room();
  Element* const best = rows + kPlanes * room;
  constexpr Element kLowest = std::is_same_v<Element, int8_t>
                                  ? static_cast<Element>(-128)
                                  : static_cast<Element>(~uint64_t{0});
  for (int64_t unit = begin; unit < end; ++unit) {
    const int64_t n = unit / layer.out_height;
    const int64_t top =
        unit % layer.out_height * window.stride_y - window.pad_top;
    std::fill_n(rows, kPlanes * room, kLowest);
    for (int ky = 0; ky < window.height; ++ky) {
      const int64_t y = top + int64_t{ky} * window.dilation_y;
      if (y < 0 || y >= layer.in_height) continue;
      keep_greater_codes<Method, Element, kPlanes, true>(
          input + (n * layer.in_height + y) * layer.in_width * across * kPlanes,
          at.end() - at.begin(), room, rows + at.begin());
    }
    std::copy_n(rows, kPlanes * room, best);
    for (int kx = 1; kx < window.width; ++kx) {
      keep_greater_codes<Method, Element, kPlanes, false>(
          rows + kx * across * window.dilation_x, at.positions(), room, best);
    }
    Element* pixel = output + unit * layer.out_width * across * kPlanes;
    for (int64_t x = 0; x < layer.out_width; ++x) {
      for (int64_t i = x * window.stride_x * across, j = 0; j < across; ++j) {
        for (int p = 0; p < kPlanes; ++p) *pixel++ = best[p * room + i + j];
      }
    }
  }
}

template <class Method>
void run_max_pool(const Layer& layer, const void*, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
  const auto run = [&](auto element, auto planes) {
    using Element = decltype(element);
    max_pool_rows<Method, Element, decltype(planes)::value>(
        layer, static_cast<const Element*>(input),
        static_cast<Element*>(output), static_cast<Element*>(scratch), begin,
        end);
  };
  switch (layer.input) {
    case Type::kPacked1:
      return run(uint64_t{}, std::integral_constant<int, 1>());
    case Type::kPacked2:
      return run(uint64_t{}, std::integral_constant<int, 2>());
    case Type::kPacked3:
      return run(uint64_t{}, std::integral_constant<int, 3>());
    case Type::kPacked4:
      return run(uint64_t{}, std::integral_constant<int, 4>());
    default:
      return run(int8_t{}, std::integral_constant<int, 1>());
  }
}

inline size_t max_pool_scratch_bytes(const Layer& layer) {
  const int planes = is_packed(layer.input) ? bits(layer.input) : 1;
  return size_t{2} * planes * PoolRow(layer).room() *
         element_bytes(layer.input);
}

inline int64_t output_rows(const Layer& layer) {
  return int64_t{layer.batch} * layer.out_height;
}

template <class Method>
constexpr Kernel max_pool_kernel(const char* name, uint32_t features) {
  return {name,
          Operator::kMaxPool2D,
          kCodeWidths,
          width_set(0),
          features,
          1,
          kBlock,
          nullptr,
          no_bytes,
          no_constants,
          max_pool_scratch_bytes,
          output_rows,
          run_max_pool<Method>};
}

}  // namespace aqe
