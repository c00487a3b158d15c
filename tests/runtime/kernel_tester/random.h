// Random numbers that are the same for the same seed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>

namespace aqe {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int between(int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(engine_);
  }
  float real() { return std::normal_distribution<float>()(engine_); }
  bool chance(int percent) { return between(1, 100) <= percent; }
  template <class T>
  T pick(std::initializer_list<T> choices) {
    return choices.begin()[between(0, static_cast<int>(choices.size()) - 1)];
  }
  std::mt19937_64& engine() { return engine_; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace aqe
