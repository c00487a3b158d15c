#include "operator_options.h"

#include <cassert>
#include <cstring>

namespace aqe {
namespace {

// Flexbuffer types, as in the upper six bits of a type byte.
enum : int {
  kInt = 1,
  kUInt = 2,
  kIndirectInt = 6,
  kIndirectUInt = 7,
  kMap = 9,
  kBool = 26
};

[[noreturn]] void damaged() {
  throw FormatError(
      "its options are damaged (no valid flexbuffer map); convert the model "
      "again");
}

class Reader {
 public:
  Reader(const void* data, size_t size)
      : data_(static_cast<const uint8_t*>(data)), size_(size) {}

  uint64_t read_unsigned(size_t at, size_t width) const {
    assert(width >= 1 && width <= 8);
    check(at, width);
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i)
      value |= uint64_t{data_[at + i]} << (8 * i);
    return value;
  }

  int64_t read_signed(size_t at, size_t width) const {
    const int unused = static_cast<int>(64 - 8 * width);
    return static_cast<int64_t>(read_unsigned(at, width) << unused) >> unused;
  }

  // Where the offset stored at `at` points: so many bytes back.
  size_t follow(size_t at, size_t width) const {
    const uint64_t offset = read_unsigned(at, width);
    if (offset > at) damaged();
    return at - offset;
  }

  size_t back(size_t at, size_t bytes) const {
    if (bytes > at) damaged();
    return at - bytes;
  }

  std::string read_key(size_t at) const {
    check(at, 1);
    const void* end = std::memchr(data_ + at, 0, size_ - at);
    if (end == nullptr) damaged();
    return std::string(reinterpret_cast<const char*>(data_ + at));
  }

  size_t size() const { return size_; }

 private:
  void check(size_t at, size_t width) const {
    if (at > size_ || width > size_ - at) damaged();
  }

  const uint8_t* data_;
  size_t size_;
};

size_t checked_width(uint64_t width) {
  if (width != 1 && width != 2 && width != 4 && width != 8) damaged();
  return width;
}

}  // namespace

Options::Options(const void* data, size_t size) {
  if (data == nullptr || size < 3) damaged();
  const Reader reader(data, size);
  const size_t root_width = checked_width(reader.read_unsigned(size - 1, 1));
  const auto root_type = reader.read_unsigned(size - 2, 1);
  if (root_type >> 2 != kMap) damaged();
  const size_t map =
      reader.follow(reader.back(size - 2, root_width), root_width);
  const size_t width = size_t{1} << (root_type & 3);

  const uint64_t count = reader.read_unsigned(reader.back(map, width), width);
  if (count > size) damaged();
  const size_t keys = reader.follow(reader.back(map, 3 * width), width);
  const size_t key_width =
      checked_width(reader.read_unsigned(reader.back(map, 2 * width), width));
  for (size_t i = 0; i < count; ++i) {
    const std::string key =
        reader.read_key(reader.follow(keys + i * key_width, key_width));
    const auto packed_type = reader.read_unsigned(map + count * width + i, 1);
    const size_t indirect_width = size_t{1} << (packed_type & 3);
    const size_t at = map + i * width;
    switch (packed_type >> 2) {
      case kInt:
        values_[key] = reader.read_signed(at, width);
        break;
      case kUInt:
      case kBool:
        values_[key] = static_cast<int64_t>(reader.read_unsigned(at, width));
        break;
      case kIndirectInt:
        values_[key] =
            reader.read_signed(reader.follow(at, width), indirect_width);
        break;
      case kIndirectUInt:
        values_[key] = static_cast<int64_t>(
            reader.read_unsigned(reader.follow(at, width), indirect_width));
        break;
      default:
        break;
    }
  }
}

int Options::get(const std::string& name, int low, int high) const {
  const auto found = values_.find(name);
  if (found == values_.end())
    throw FormatError("option '" + name +
                      "' is missing; convert the model again");
  if (found->second < low || found->second > high) {
    throw FormatError("option '" + name + "' must lie between " +
                      std::to_string(low) + " and " + std::to_string(high) +
                      ", but is " + std::to_string(found->second));
  }
  return static_cast<int>(found->second);
}

int Options::get_or(const std::string& name, int fallback, int low,
                    int high) const {
  return has(name) ? get(name, low, high) : fallback;
}

}  // namespace aqe
