// Convolutions by look-up: fills the constants of lookup_layout.h.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels/loops/lookup_layout.h"
#include "kernels/loops/weights.h"

namespace aqe::lookup {

constexpr int kMostCodes = 6;  // of an index

class Packer {
 public:
  Packer(const Layer& layer, int index_bits, int channels, void* constants)
      : layer_(layer),
        classes_(count_classes(layer)),
        at_(layer, index_bits, channels, classes_),
        rows_(layer),
        bytes_(static_cast<char*>(constants)) {}

  void pack() {
    std::fill_n(bytes_, at_.end, 0);
    offset_ = reinterpret_cast<int32_t*>(bytes_ + at_.offset);
    pack_pad();
    if (at_.class_rows > 0) find_outside();
    head_.halved = layer_.input == Type::kPacked1 && outside_is_even();
    head_.corrections = find_corrections();
    head_.fits_bytes = has_few_codes(layer_) || at_.code_tables > 0;
    head_.code_tables = at_.code_tables > 0;
    head_.classes = classes_;
    if (at_.patterns > 0) pack_patterns();
    for_each_part(layer_, at_.channels, [&](int first, int count) {
      pack_part(first, count);
      ++part_;
    });
    if (at_.code_tables > 0 && head_.fits_bytes) pack_code_tables();
    std::memcpy(bytes_, &head_, sizeof head_);
  }

 private:
  void pack_pad() {
    if (layer_.pad_value == 0) return;
    for (int c = 0; c < layer_.in_channels; ++c) {
      const unsigned planes =
          planes_from_code(bits(layer_.input), layer_.pad_value);
      for (int p = 0; p < bits(layer_.input); ++p) {
        bytes_[at_.pad + at_.indices.at(c)] |= static_cast<char>(
            (planes >> p & 1) << (p * at_.indices.codes + at_.indices.slot(c)));
      }
    }
  }

  // outside_[channel][class]: sum of the weights at taps that lie outside.
  void find_outside() {
    const Classes classes(layer_);
    head_.class_columns = static_cast<int32_t>(classes.x.taps.size());
    std::copy(classes.y.of_position.begin(), classes.y.of_position.end(),
              bytes_ + at_.row_classes);
    std::copy(classes.x.of_position.begin(), classes.x.of_position.end(),
              bytes_ + at_.column_classes);
    outside_.assign(size_t{1} * layer_.out_channels * classes_, 0);
    const int own = layer_.group_channels();
    for (int o = 0; o < layer_.out_channels; ++o) {
      const int8_t* codes = rows_.codes(o);
      for (int64_t tap = 0; tap < at_.indices.taps; ++tap) {
        int sum = 0;
        for (int c = 0; c < own; ++c) sum += codes[tap * own + c];
        for (int number = 0; number < classes_; ++number) {
          if (classes.is_outside(number, tap, layer_.window))
            outside_[o * classes_ + number] += sum;
        }
      }
    }
  }
  bool outside_is_even() const {
    return std::all_of(outside_.begin(), outside_.end(),
                       [](int sum) { return sum % 2 == 0; });
  }

  // What an entry of a class adds to the sums of a channel.
  int class_entry(int o, int number) const {
    const int* own = &outside_[size_t{1} * o * classes_];
    return (*std::max_element(own, own + classes_) - own[number]) >>
           head_.halved;
  }
  // Look-ups that all entries of a class row fit.
  int find_corrections() const {
    int most = 0;
    for (int o = 0; o < layer_.out_channels && classes_ > 0; ++o) {
      const int* own = &outside_[size_t{1} * o * classes_];
      const auto [least, greatest] = std::minmax_element(own, own + classes_);
      most = std::max(most, (*greatest - *least) >> head_.halved);
    }
    return (most + kMostEntry - 1) / kMostEntry;
  }

  // The greatest magnitude of a sum of products with these weights.
  int reach(const int* weights) const {
    int sum = 0;
    for (int s = 0; s < at_.indices.codes; ++s) sum += std::abs(weights[s]);
    return sum * max_code(bits(layer_.input));
  }
  int greatest_entry(const int* weights) const {
    return 2 * reach(weights) >> head_.halved;
  }

  void pack_table(int64_t number, const int* weights) {
    char* table = bytes_ + at_.table + number * at_.table_bytes;
    const int width = bits(layer_.input), codes = at_.indices.codes;
    for (unsigned index = 0; index < at_.table_bytes; ++index) {
      int sum = reach(weights);
      for (int s = 0; s < codes; ++s) {
        unsigned planes = 0;
        for (int p = 0; p < width; ++p)
          planes |= (index >> (p * codes + s) & 1) << p;
        sum += code_from_planes(width, planes) * weights[s];
      }
      table[index] = static_cast<char>(sum >> head_.halved);
    }
  }

  // Weights by their number among the levels.
  int level_weight(int64_t level) const {
    if (!Layout::has_zero(layer_)) return level == 0 ? -1 : 1;
    return code_at(static_cast<Type>(std::max(layer_.weight_bits, 2)),
                   static_cast<int>(level));
  }
  void pack_patterns() {
    const int levels = Layout::weight_levels(layer_);
    for (next_table_ = 0; next_table_ < at_.patterns; ++next_table_) {
      int weights[kMostCodes];
      int64_t rest = next_table_;
      for (int s = 0; s < at_.indices.codes; ++s, rest /= levels)
        weights[s] = level_weight(rest % levels);
      pack_table(next_table_, weights);
    }
  }
  int64_t table_of(const int* weights) {
    if (at_.patterns == 0) {
      pack_table(next_table_, weights);
      return next_table_++;
    }
    const int levels = Layout::weight_levels(layer_);
    int64_t number = 0;
    for (int s = at_.indices.codes - 1; s >= 0; --s) {
      int level = 0;
      while (level_weight(level) != weights[s]) ++level;
      number = number * levels + level;
    }
    return number;
  }

  // Weights, of an output channel's `codes`, that meet index i of a tap, where
  // its group begins at channel `first`; returns what those that are not there
  // add, meeting channels that are not there.
  int find_weights(const int8_t* codes, int first, int64_t tap, int i,
                   int* weights) const {
    const int own = layer_.group_channels();
    const int start = i / at_.indices.word * kBlock +
                      i % at_.indices.word * at_.indices.codes;
    int absent = 0;
    for (int s = 0; s < at_.indices.codes; ++s) {
      const int c = start + s;
      if (c / kBlock == start / kBlock && c >= first && c < first + own) {
        weights[s] = codes[tap * own + c - first];
      } else {
        weights[s] = Layout::has_zero(layer_) ? 0 : 1;
        if (layer_.input == Type::kPacked1) absent += weights[s];
      }
    }
    return absent;
  }

  // Adds a look-up to the part, a segment where bytes could overflow.
  void add_lookup(const int64_t* tables, const int* greatest, int count) {
    for (int c = 0; c < at_.channels; ++c, lookup_ += at_.number_bytes) {
      const auto number = static_cast<uint16_t>(tables[c < count ? c : 0]);
      std::memcpy(lookup_, &number, at_.number_bytes);  // little-endian
    }
    lookup_ += (at_.numbers() - at_.channels) * at_.number_bytes;
    bool ends = *segment_ == UINT8_MAX;
    for (int c = 0; c < count; ++c)
      ends |= segment_sums_[c] + greatest[c] > kMostEntry;
    if (ends) {
      ++segment_;
      std::fill_n(segment_sums_, kMostChannels, 0);
    }
    ++*segment_;
    for (int c = 0; c < count; ++c) {
      segment_sums_[c] += greatest[c];
      sums_[c] += greatest[c];
    }
  }

  void pack_part(int first, int count) {
    auto* segments = reinterpret_cast<uint8_t*>(bytes_ + at_.segments +
                                                part_ * at_.segments_bytes());
    segment_ = segments;
    lookup_ = bytes_ + at_.lookups + part_ * at_.lookups_bytes();
    std::fill_n(segment_sums_, kMostChannels, 0);
    std::fill_n(sums_, kMostChannels, 0);
    const int own = layer_.group_channels();
    const int start = group_of(layer_, first) * own;
    const int64_t length = layer_.weights_per_output();
    std::vector<int8_t> codes(static_cast<size_t>(count * length));
    for (int c = 0; c < count; ++c)
      std::copy_n(rows_.codes(first + c), length, &codes[c * length]);
    for (int64_t tap = 0; tap < at_.indices.taps; ++tap) {
      for (int i = at_.indices.at(start); i <= at_.indices.at(start + own - 1);
           ++i) {
        int64_t tables[kMostChannels];
        int greatest[kMostChannels];
        for (int c = 0; c < count; ++c) {
          int weights[kMostCodes];
          const int absent =
              find_weights(&codes[c * length], start, tap, i, weights);
          offset_[first + c] += reach(weights) + absent;
          tables[c] = table_of(weights);
          greatest[c] = greatest_entry(weights);
        }
        add_lookup(tables, greatest, count);
      }
    }
    for (int c = 0; c < count && classes_ > 0; ++c) {
      const int* outside = &outside_[size_t{1} * (first + c) * classes_];
      offset_[first + c] += *std::max_element(outside, outside + classes_);
    }
    for (int row = 0; row < at_.class_rows; ++row)
      add_classes(first, count, row);
    for (int c = 0; c < count; ++c) {
      if (at_.code_tables > 0) {
        find_codes(first + c, sums_[c], segments[1] == 0);
      } else {
        pack_thresholds(first + c, sums_[c], segments[1] == 0);
      }
    }
  }

  // Takes back what padding added, in as many look-ups as bytes need.
  void add_classes(int first, int count, int row) {
    const int begin = row * static_cast<int>(at_.table_bytes);
    const int end =
        std::min(begin + static_cast<int>(at_.table_bytes), classes_);
    for (int i = 0; i < head_.corrections; ++i, next_table_ += count) {
      int64_t tables[kMostChannels];
      int greatest[kMostChannels] = {};
      for (int c = 0; c < count; ++c) {
        tables[c] = next_table_ + c;
        for (int number = begin; number < end; ++number) {
          const int value = std::clamp(
              class_entry(first + c, number) - i * kMostEntry, 0, kMostEntry);
          greatest[c] = std::max(greatest[c], value);
          bytes_[at_.table + tables[c] * at_.table_bytes + number - begin] =
              static_cast<char>(value);
        }
      }
      add_lookup(tables, greatest, count);
    }
  }

  static int64_t floor_half(int64_t value, int halved) {
    return value >> halved;  // towards minus infinity
  }

  // Thresholds of channel o, whose entries sum up to `most` at most, as bytes:
  // 0 is passed by all sums, or where it is turned around by none.
  void pack_thresholds(int o, int64_t most, bool is_one_segment) {
    if (!head_.fits_bytes) return;
    const int64_t offset = offset_[o];
    const int halved = head_.halved;
    std::vector<int64_t> least(at_.levels);
    std::vector<bool> turned(at_.levels);
    int64_t bias = most;
    for (int k = 0; k < at_.levels; ++k) {
      const int64_t threshold =
          layer_.thresholds[int64_t{k} * layer_.out_channels + o];
      turned[k] = layer_.direction[o] < 0;
      least[k] = turned[k] ? floor_half(offset - threshold, halved) + 1
                           : -floor_half(-(threshold + offset), halved);
      if (least[k] <= 0) {
        least[k] = 0;
      } else if (least[k] > most) {
        least[k] = 0;
        turned[k] = !turned[k];
      } else {
        bias = std::min(bias, least[k] - 1);
      }
    }
    if (is_one_segment) bias = 0;
    reinterpret_cast<uint16_t*>(bytes_ + at_.bias)[o] =
        static_cast<uint16_t>(bias);
    for (int k = 0; k < at_.levels; ++k) {
      const int64_t own = least[k] == 0 ? 0 : least[k] - bias;
      if (own > kMostEntry) {
        head_.fits_bytes = 0;
        return;
      }
      bytes_[at_.thresholds + int64_t{o} * at_.levels + k] =
          static_cast<char>(own);
      if (turned[k]) {
        bytes_[at_.turns + int64_t{o} / 8 * at_.levels + k] |=
            static_cast<char>(1 << o % 8);
      }
    }
  }

  // Scales as the format does, by constants of the layer or of its quantizer.
  static float scaled(const Layer& by, int o, float value) {
    if (by.offset != nullptr) value += by.offset[o];
    const float product = value * by.scale[o];
    return product + by.bias[o];
  }
  // What is rounded to the code of channel o where its entries sum up to `sum`.
  float value_of(int o, int64_t sum) const {
    const int64_t acc = (sum << head_.halved) - offset_[o];
    float value = scaled(layer_, o, static_cast<float>(acc));
    if (!layer_.sums()) return value;
    if (layer_.sum.has_limits) value = layer_.sum.limit(value);
    return scaled(layer_.sum.quantizers[0], o, value);
  }
  int code_of(int o, int64_t sum) const {
    if (layer_.scale != nullptr) return nearest_code(value_of(o, sum));
    const int64_t acc =
        ((sum << head_.halved) - offset_[o]) * layer_.direction[o];
    int passed = 0;
    for (int step = 1 << (layer_.code_bits - 1); step > 0; step /= 2) {
      const int64_t k = passed + step - 1;
      if (acc >= layer_.thresholds[k * layer_.out_channels + o]) passed += step;
    }
    return output_code(layer_, passed);
  }

  // The first sum, of `most` at most, from which on channel o has the last
  // one's code, or another one than 0 has. Codes rise or fall all the way.
  int64_t first_sum(int o, int64_t most, bool is_of_last) const {
    const int known = code_of(o, is_of_last ? most : 0);
    int64_t begin = 0, end = most;
    while (begin < end) {
      const int64_t middle = (begin + end) / 2;
      if ((code_of(o, middle) == known) == is_of_last) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    return begin;
  }

  // Which sums of channel o, whose entries sum up to `most` at most, its tables
  // begin with, and how many it needs.
  void find_codes(int o, int64_t most, bool is_one_segment) {
    // What is no number beside infinite ones would be between two codes.
    if (layer_.scale != nullptr &&
        !(std::isfinite(layer_.scale[o]) && std::isfinite(value_of(o, 0)) &&
          std::isfinite(value_of(o, most)))) {
      head_.fits_bytes = 0;
      return;
    }
    const int64_t first = std::max<int64_t>(first_sum(o, most, false) - 1, 0);
    const int64_t sums = first_sum(o, most, true) - first + 1;
    if (is_one_segment) {
      bytes_[at_.thresholds + o] = static_cast<char>(first);
    } else {
      reinterpret_cast<uint16_t*>(bytes_ + at_.bias)[o] =
          static_cast<uint16_t>(first);
    }
    coded_.resize(layer_.out_channels);
    coded_[o] = {first, most};
    while (sums > head_.code_tables * static_cast<int64_t>(at_.table_bytes)) {
      head_.code_tables *= 2;
      if (head_.code_tables > at_.code_tables) {
        head_.fits_bytes = 0;
        return;
      }
    }
  }

  void pack_code_tables() {
    const int64_t count = head_.code_tables * at_.table_bytes;
    char* to = bytes_ + at_.codes;
    for (int o = 0; o < layer_.out_channels; ++o) {
      const auto [first, most] = coded_[o];
      for (int64_t i = 0; i < count; ++i)
        *to++ = static_cast<char>(code_of(o, std::min(first + i, most)));
    }
  }

  const Layer& layer_;
  const int classes_;
  const Layout at_;
  WeightRows rows_;
  char* const bytes_;
  Head head_ = {};
  int32_t* offset_ = nullptr;
  std::vector<int> outside_;
  // Of each output channel the sums of entries that its tables begin with, and
  // the greatest of all.
  std::vector<std::pair<int64_t, int64_t>> coded_;
  int64_t next_table_ = 0;
  int64_t part_ = 0;
  uint8_t* segment_ = nullptr;
  char* lookup_ = nullptr;
  int segment_sums_[kMostChannels];
  int64_t sums_[kMostChannels];
};

}  // namespace aqe::lookup
