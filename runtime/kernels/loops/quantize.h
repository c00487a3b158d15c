// The loop of quantize: 64 channels of many pixels at a time.
// `Method::quantize(layer, constants, values, step, pixels, block, pixel)`
// writes the codes of a block of so many pixels side by side; `values`, int32
// or float, are those of the first, and `step` of them lead to the next.
// `Method::quantize_parts(layer, constants, first, pixels, scratch, pixel)`
// writes all codes of the pixels of parts from the first on.
#pragma once

#include <algorithm>

#include "keras_aqe/kernel.h"
#include "kernels/loops/blocks.h"

namespace aqe {

constexpr int kQuantizedPixels = 128;  // of a unit
constexpr int kCopiedPixels = 64;      // of a block, at a time

// Channels of a block that stand side by side in a part.
struct Slice {
  const Part* part;
  int channel;  // of the part
  int first;    // of the block
  int count;
};

// Calls visit(slice) for those of a block, each of up to so many channels.
template <class Visit>
void for_each_slice(const Layer& layer, int block, int longest, Visit visit) {
  const int first = block * kBlock;
  const int end = first + channels_in_block(layer.in_channels, block);
  int before = 0;  // channels of the parts in front
  for (const Part* part = layer.parts; before < end; ++part) {
    int c = std::max(first, before);
    const int stop = std::min(end, before + part->channels);
    for (; c < stop; c += longest)
      visit(Slice{part, c - before, c - first, std::min(longest, stop - c)});
    before += part->channels;
  }
}

// A block of pixels, kBlock apart.
inline void copy_parts(const Layer& layer, int64_t first, int pixels, int block,
                       float* rows) {
  for_each_slice(layer, block, kBlock, [&](const Slice& slice) {
    const int channels = slice.part->channels;
    const float* from = slice.part->values + first * channels + slice.channel;
    float* to = rows + slice.first;
    for (int i = 0; i < pixels; ++i, from += channels, to += kBlock)
      std::copy_n(from, slice.count, to);
  });
}

// A `Method`'s way to read parts: a block of them at a time is copied.
template <class Method>
struct CopiedParts {
  static void quantize_parts(const Layer& layer, const void* constants,
                             int64_t first, int pixels, void* scratch,
                             char* pixel) {
    auto* rows = static_cast<float*>(scratch);
    for (int block = 0; block < block_count(layer.out_channels); ++block) {
      char* to = pixel;
      for (int i = 0; i < pixels; i += kCopiedPixels) {
        const int some = std::min(kCopiedPixels, pixels - i);
        copy_parts(layer, first + i, some, block, rows);
        Method::quantize(layer, constants, rows, kBlock, some, block, to);
        to += some * pixel_bytes(layer.output, layer.out_channels);
      }
    }
  }
};

// Blocks that a unit has: of parts all, since these end within blocks.
inline int quantized_blocks(const Layer& layer) {
  return layer.parts == nullptr ? block_count(layer.out_channels) : 1;
}

inline int64_t quantize_units(const Layer& layer) {
  return (layer.out_pixels() + kQuantizedPixels - 1) / kQuantizedPixels *
         quantized_blocks(layer);
}

inline size_t quantize_scratch_bytes(const Layer& layer) {
  return layer.parts == nullptr ? 0 : sizeof(float) * kBlock * kCopiedPixels;
}

template <class Method>
void run_quantize(const Layer& layer, const void* constants, const void* input,
                  void* output, void* scratch, int64_t begin, int64_t end) {
  const int blocks = quantized_blocks(layer);
  for (int64_t unit = begin; unit < end; ++unit) {
    const int block = static_cast<int>(unit % blocks);
    const int64_t first = unit / blocks * kQuantizedPixels;
    const int pixels = static_cast<int>(
        std::min<int64_t>(kQuantizedPixels, layer.out_pixels() - first));
    char* out = pixel_at(layer.output, layer.out_channels, output, first);
    const auto quantize = [&](const auto* values, int64_t step) {
      Method::quantize(layer, constants, values, step, pixels, block, out);
    };
    const int64_t at = first * layer.in_channels + block * kBlock;
    if (layer.parts != nullptr) {
      Method::quantize_parts(layer, constants, first, pixels, scratch, out);
    } else if (layer.input == Type::kInt32) {
      quantize(static_cast<const int32_t*>(input) + at, layer.in_channels);
    } else {
      quantize(static_cast<const float*>(input) + at, layer.in_channels);
    }
  }
}

}  // namespace aqe
