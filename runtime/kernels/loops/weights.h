// A layer's weights many at a time, for kernels to pack them: files are loaded
// while somebody waits.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "keras_aqe/codes.h"
#include "kernels/loops/blocks.h"

namespace aqe {

// Up to 64 bits of a plane of so many bytes from bit `first` on.
inline uint64_t load_bits(const uint8_t* plane, size_t bytes, int64_t first,
                          int count) {
  const uint8_t* from = plane + first / 8;
  const size_t left = bytes - static_cast<size_t>(first / 8);
  const int shift = static_cast<int>(first % 8);
  uint64_t word = 0;
  if (left >= sizeof word) {
    std::memcpy(&word, from, sizeof word);
  } else {
    std::memcpy(&word, from, left);
  }
  word >>= shift;
  if (shift > 0 && left > sizeof word)
    word |= uint64_t{from[sizeof word]} << (64 - shift);
  return count == 64 ? word : word & ((uint64_t{1} << count) - 1);
}

constexpr int kMostPlanes = 4;  // of a weight

// The planes of up to 64 weights of output channel o from weight i on; a 0 has
// no sign, and bits behind the last are 0.
inline void load_weight_planes(const Layer& layer, int o, int64_t i, int count,
                               uint64_t* planes) {
  const int64_t first = o * layer.weights_per_output() + i;
  uint64_t is_nonzero = 0;
  for (int p = 0; p < layer.weight_bits; ++p) {
    if (p > 0) is_nonzero |= planes[p - 1];
    planes[p] = load_bits(layer.weights + p * layer.weight_plane_bytes,
                          layer.weight_plane_bytes, first, count);
  }
  if (layer.weight_bits > 1) planes[layer.weight_bits - 1] &= is_nonzero;
}

// bytes[byte]: its bits as bytes of a word.
struct SpreadBits {
  std::array<uint64_t, 256> bytes{};
  constexpr SpreadBits() {
    for (unsigned byte = 0; byte < 256; ++byte) {
      for (unsigned bit = 0; bit < 8; ++bit)
        bytes[byte] |= uint64_t{byte >> bit & 1} << (8 * bit);
    }
  }
};
inline constexpr SpreadBits kSpreadBits;

// The weights of one output channel at a time, a byte each.
class WeightRows {
 public:
  explicit WeightRows(const Layer& layer)
      : layer_(layer),
        row_(
            round_up(static_cast<size_t>(layer.weights_per_output()), kBlock)) {
    const unsigned all = 1u << layer.weight_bits;
    for (unsigned first = 0; first < all; ++first) {
      codes_[first] =
          static_cast<int8_t>(code_from_planes(layer.weight_bits, first));
      for (unsigned second = 0; second < all; ++second) {
        pairs_[second << 4 | first][0] = codes_[first];
        pairs_[second << 4 | first][1] =
            static_cast<int8_t>(code_from_planes(layer.weight_bits, second));
      }
    }
  }

  // Good until the next call. As codes:
  const int8_t* codes(int o) {
    decode(o, [this](uint64_t numbers, int8_t* to) {
      numbers |= numbers >> 4;
      for (int i = 0; i < 8; i += 2, numbers >>= 16)
        std::memcpy(to + i, pairs_[numbers & 255], 2);
    });
    return row_.data();
  }
  // As numbers whose bits are the planes:
  const int8_t* planes(int o) {
    decode(o, [](uint64_t numbers, int8_t* to) {
      std::memcpy(to, &numbers, sizeof numbers);
    });
    return row_.data();
  }
  int code(int8_t planes) const { return codes_[planes]; }

 private:
  // Calls put(eight numbers, to).
  template <class Put>
  void decode(int o, const Put& put) {
    const int64_t count = layer_.weights_per_output();
    for (int64_t i = 0; i < count; i += kBlock) {
      uint64_t planes[kMostPlanes];
      load_weight_planes(layer_, o, i,
                         static_cast<int>(std::min<int64_t>(count - i, kBlock)),
                         planes);
      for (int byte = 0; byte < 8; ++byte) {
        uint64_t numbers = 0;
        for (int p = 0; p < layer_.weight_bits; ++p)
          numbers |= kSpreadBits.bytes[planes[p] >> (8 * byte) & 255] << p;
        put(numbers, row_.data() + i + 8 * byte);
      }
    }
  }

  const Layer& layer_;
  int8_t codes_[16] = {};      // by planes
  int8_t pairs_[256][2] = {};  // by those of two, the first in the lower half
  std::vector<int8_t> row_;
};

}  // namespace aqe
