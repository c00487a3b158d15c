// Convolutions by look-up: the sums of a part, for the tiles of lookup_conv.h,
// which says what a `Set` is. AQE_TARGET, defined before, is the attribute of
// the instruction set.
#pragma once

#include <cstring>
#include <iterator>

#include "kernels/loops/lookup_layout.h"
#include "kernels/loops/lookup_rows.h"

#ifndef AQE_TARGET
#error "the header of the instruction set comes first"
#endif

namespace aqe::lookup {

// Of a part: what segments and look-ups Layout has, and where the rows of
// indices stand that they go by.
template <class Number>
struct Lookups {
  const uint8_t* segments;
  const Number* numbers;
  const char* tables;
  const uint8_t* indices;
  const uint32_t* offsets;
};

// kVectors registers of positions times the channels of a part: what one
// look-up adds to sums, or starts them with. Goes to the next look-up.
template <class Set, class Number, int kChannels, int kVectors, bool kIsFirst>
AQE_TARGET inline __attribute__((always_inline)) void look_up_one(
    Lookups<Number>* at, typename Set::Bytes (&sums)[kChannels][kVectors]) {
  constexpr int kNumberBits = 8 * sizeof(Number);
  // Numbers of tables become offsets, all at once where 64 bits hold these.
  constexpr int kShifted = sizeof(Number) == 1 ? Set::kIndexBits : 0;
  constexpr uint64_t kMask = ((uint64_t{1} << kNumberBits) - 1) << kShifted;
  const uint8_t* row = at->indices + *at->offsets++;
  typename Set::Bytes index[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
    index[v] = Set::load(row + v * Set::kBytes);
  uint64_t numbers = 0;
#pragma GCC unroll 8
  for (int c = 0; c < kChannels; ++c) {
    if (c % kTogether == 0) {
      std::memcpy(&numbers, at->numbers + c, kTogether * sizeof(Number));
      numbers <<= kShifted;
    }
    const uint64_t own = (numbers >> (c % kTogether * kNumberBits)) & kMask;
    const auto table =
        Set::load_table(at->tables + (own << (Set::kIndexBits - kShifted)));
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto found = Set::look_up(table, index[v]);
      sums[c][v] = kIsFirst ? found : Set::add(sums[c][v], found);
    }
  }
  at->numbers += round_up(kChannels, kTogether);
}

// The sums of a segment.
template <class Set, class Number, int kChannels, int kVectors>
AQE_TARGET inline __attribute__((always_inline)) void look_up_all(
    Lookups<Number>* at, typename Set::Bytes (&sums)[kChannels][kVectors]) {
  int count = *at->segments++;
  look_up_one<Set, Number, kChannels, kVectors, true>(at, sums);
  while (--count > 0)
    look_up_one<Set, Number, kChannels, kVectors, false>(at, sums);
}

// The sums of a part of one segment, as bytes.
template <class Set, class Number, int kChannels, int kVectors>
AQE_TARGET void add_up_bytes(Lookups<Number> at, int count, uint8_t* to) {
  typename Set::Bytes sums[kChannels][kVectors];
  look_up_all<Set, Number, kChannels, kVectors>(&at, sums);
#pragma GCC unroll 8
  for (int c = 0; c < kChannels; ++c) {
    if (c == count) break;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      Set::store(to + c * kTile<Set> + v * Set::kBytes, sums[c][v]);
  }
}

// The sums of a part.
template <class Set, class Number, int kChannels, int kVectors>
AQE_TARGET void add_up_wide(Lookups<Number> at,
                            typename Set::Wide (&wide)[kChannels][kVectors]) {
  typename Set::Wide all[kChannels][kVectors];
#pragma GCC unroll 8
  for (int c = 0; c < kChannels; ++c) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) all[c][v] = Set::no_sums();
  }
  while (*at.segments != 0) {
    typename Set::Bytes sums[kChannels][kVectors];
    look_up_all<Set, Number, kChannels, kVectors>(&at, sums);
#pragma GCC unroll 8
    for (int c = 0; c < kChannels; ++c) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) Set::widen(&all[c][v], sums[c][v]);
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kChannels; ++c) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) wide[c][v] = all[c][v];
  }
}

// The sums of a part, to bytes where the output stage goes by these, else to 16
// bits.
template <class Set, class Number, int kChannels, int kVectors>
AQE_TARGET void add_up(const Lookups<Number>& at, const uint16_t* bias,
                       bool fits_bytes, int count, uint8_t* to) {
  if (at.segments[1] == 0 && fits_bytes) {
    add_up_bytes<Set, Number, kChannels, kVectors>(at, count, to);
    return;
  }
  typename Set::Wide wide[kChannels][kVectors];
  add_up_wide<Set, Number, kChannels, kVectors>(at, wide);
  for (int c = 0; c < count; ++c) {
    for (int v = 0; v < kVectors; ++v) {
      const int to_at = c * kTile<Set> + v * Set::kBytes;
      if (fits_bytes) {
        Set::store(to + to_at, Set::narrow(wide[c][v], bias[c]));
      } else {
        Set::store_wide(wide[c][v], reinterpret_cast<uint16_t*>(to) + to_at);
      }
    }
  }
}

// For the number of registers that so many positions take.
template <class Set, class Number, int kChannels, int kVectors>
auto add_up_for(int positions) {
  if constexpr (kVectors > 1) {
    if (positions <= (kVectors - 1) * Set::kBytes)
      return add_up_for<Set, Number, kChannels, kVectors - 1>(positions);
  }
  return add_up<Set, Number, kChannels, kVectors>;
}

template <class Set, class Number, size_t kShape = 0>
auto add_up_of(const TileShape& shape, int positions) {
  constexpr TileShape kOwn = Set::kShapes[kShape];
  if constexpr (kShape + 1 < std::size(Set::kShapes)) {
    if (shape.vectors != kOwn.vectors)
      return add_up_of<Set, Number, kShape + 1>(shape, positions);
  }
  return add_up_for<Set, Number, kOwn.channels, kOwn.vectors>(positions);
}

}  // namespace aqe::lookup
