// The integer options of an operator, from the flexbuffer map in its
// custom_options.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

namespace aqe {

// What is wrong with a file, in words for its user.
struct FormatError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Options {
 public:
  // Reads a flexbuffer whose root is a map; entries that are no integers are
  // left out. Throws FormatError if it is damaged.
  Options(const void* data, size_t size);

  bool has(const std::string& name) const { return values_.count(name) != 0; }
  // Throws FormatError if the option is missing or outside [low, high].
  int get(const std::string& name, int low, int high) const;
  int get_or(const std::string& name, int fallback, int low, int high) const;

 private:
  std::map<std::string, int64_t> values_;
};

}  // namespace aqe
