#include "packed_constants.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <tuple>

#include "aligned_memory.h"

namespace aqe {
namespace {

// What stands for a content: two polynomials over it, modulo a prime, at points
// that are drawn anew in every process. Two contents of n bytes that differ
// have the same with a probability of less than (n / 2^63)^2, whoever made
// them. The contents themselves are not kept: a file's memory may go before its
// interpreter.
class Fingerprint {
 public:
  void add(const void* data, size_t bytes) {
    const auto* from = static_cast<const char*>(data);
    add_word(bytes);
    // The last load of a step reads a byte beyond it.
    for (; bytes > kStepBytes; bytes -= kStepBytes, from += kStepBytes) {
      uint64_t words[kStep];
      for (int i = 0; i < kStep; ++i)
        words[i] = load(from + i * kWordBytes, sizeof words[i]) & kWordMask;
      for (int point = 0; point < kPoints; ++point) {
        const uint64_t* powers = points().powers[point];
        Wide sum = product(values_[point] + words[0], powers[3]);
        for (int i = 1; i < kStep; ++i)
          sum += product(words[i], powers[kStep - 1 - i]);
        values_[point] = reduce(sum);
      }
    }
    for (; bytes > 0; bytes -= std::min(bytes, kWordBytes), from += kWordBytes)
      add_word(load(from, std::min(bytes, kWordBytes)));
  }
  template <class T>
  void add_array(const T* values, size_t count) {
    add(values, values == nullptr ? 0 : count * sizeof(T));
  }
  template <class... T>
  void add_numbers(T... numbers) {
    (add_word(static_cast<uint32_t>(numbers)), ...);
  }

  bool operator<(const Fingerprint& other) const {
    return std::tie(values_[0], values_[1]) <
           std::tie(other.values_[0], other.values_[1]);
  }

 private:
  static constexpr int kPoints = 2, kStep = 4;
  static constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;
  static constexpr size_t kWordBytes = 7, kStepBytes = kStep * kWordBytes;
  static constexpr uint64_t kWordMask = (uint64_t{1} << 8 * kWordBytes) - 1;

  // powers[point][i]: the point to the power of i + 1.
  struct Points {
    uint64_t powers[kPoints][kStep];

    Points() {
      std::random_device device;
      std::uniform_int_distribution<uint64_t> any(0, kPrime - 1);
      for (auto& own : powers) {
        own[0] = any(device);
        for (int i = 1; i < kStep; ++i)
          own[i] = reduce(product(own[i - 1], own[0]));
      }
    }
  };

  static const Points& points() {
    static const Points drawn;
    return drawn;
  }
  static uint64_t load(const char* from, size_t bytes) {
    uint64_t word = 0;
    std::memcpy(&word, from, bytes);
    return word;
  }
#ifdef __SIZEOF_INT128__
  using Wide = unsigned __int128;

  static Wide product(uint64_t a, uint64_t b) {
    return static_cast<Wide>(a) * b;
  }
#else
  // 32-bit processors have no such numbers, and reduce each product.
  using Wide = uint64_t;

  // a = a1 2^32 + a0, and 2^61 is 1: terms stay below 2^64, b below 2^61.
  static Wide product(uint64_t a, uint64_t b) {
    constexpr uint64_t kLow = 0xffffffff;
    const uint64_t a0 = a & kLow, a1 = a >> 32, b0 = b & kLow, b1 = b >> 32;
    const uint64_t low = a0 * b0;
    uint64_t middle = reduce(a0 * b1) + reduce(a1 * b0);
    middle = reduce(middle);
    // 2^32 middle = middle / 2^29 + 2^32 (middle mod 2^29), 2^64 = 8.
    const uint64_t kept = middle & ((uint64_t{1} << 29) - 1);
    return reduce(reduce(low) + (middle >> 29) + (kept << 32)) +
           reduce(a1 * b1 * 8);
  }
#endif
  // Of up to 2^124, or what the type holds.
  static uint64_t reduce(Wide sum) {
    uint64_t folded = (static_cast<uint64_t>(sum) & kPrime) +
                      static_cast<uint64_t>(sum >> 61);
    folded = (folded & kPrime) + (folded >> 61);
    return folded >= kPrime ? folded - kPrime : folded;
  }

  void add_word(uint64_t word) {
    for (int point = 0; point < kPoints; ++point) {
      values_[point] =
          reduce(product(values_[point] + word, points().powers[point][0]));
    }
  }

  uint64_t values_[kPoints] = {};
};

void add_window(const Window& window, Fingerprint* print) {
  print->add_numbers(window.height, window.width, window.stride_y,
                     window.stride_x, window.dilation_y, window.dilation_x,
                     window.pad_top, window.pad_left);
}

// Everything in a layer but the batch and the tensors of a run.
void add_layer(const Layer& layer, Fingerprint* to) {
  static_assert(sizeof(void*) != 8 || sizeof(Layer) == 288,
                "a field was added: add it here as well");
  Fingerprint& print = *to;
  print.add_numbers(layer.op, layer.in_height, layer.in_width,
                    layer.in_channels, layer.conv_height, layer.conv_width,
                    layer.out_height, layer.out_width, layer.out_channels,
                    layer.has_pool, layer.groups, layer.pad_value, layer.input,
                    layer.weight_bits, layer.output, layer.code_bits,
                    layer.first_code);
  add_window(layer.window, &print);
  add_window(layer.pool, &print);
  print.add_array(layer.weights, layer.weight_plane_bytes * layer.weight_bits);
  const auto channels = static_cast<size_t>(layer.out_channels);
  const size_t thresholds =
      layer.direction == nullptr ? 0 : channels * layer.levels();
  print.add_array(layer.thresholds, thresholds);
  print.add_array(layer.float_thresholds, thresholds);
  print.add_array(layer.direction, channels);
  print.add_array(layer.offset, channels);
  print.add_array(layer.scale, channels);
  print.add_array(layer.bias, channels);
  print.add_array(layer.input_scale, layer.in_channels);
  print.add_array(layer.input_offset, layer.in_channels);
  print.add_numbers(layer.parts != nullptr, layer.part_count);
  for (int i = 0; layer.parts != nullptr && i < layer.part_count; ++i)
    print.add_numbers(layer.parts[i].channels);
  const Sum& sum = layer.sum;
  print.add_numbers(sum.has_addend, sum.has_limits, sum.quantizer_count);
  print.add_array(&sum.low, 1);
  print.add_array(&sum.high, 1);
  for (int q = 0; q < sum.quantizer_count; ++q)
    add_layer(sum.quantizers[q], to);
}

Fingerprint fingerprint(const Layer& layer) {
  Fingerprint print;
  add_layer(layer, &print);
  return print;
}

using Key = std::pair<const Kernel*, Fingerprint>;

struct Constants;

// All constants that somebody has. The lock is held while they are packed, for
// milliseconds, so that nobody packs the same beside it; and by whoever forks,
// so that it is free in the child.
struct Registry {
  std::mutex mutex;
  std::map<Key, std::weak_ptr<const Constants>> constants;

  Registry() {
    pthread_atfork([] { only().mutex.lock(); }, [] { only().mutex.unlock(); },
                   [] { only().mutex.unlock(); });
  }

  // Never destroyed: interpreters may be left when the process ends.
  static Registry& only() {
    static auto* const registry = new Registry;
    return *registry;
  }
};

struct Constants {
  Key key;
  AlignedMemory memory;

  Constants(const Key& own_key, AlignedMemory packed)
      : key(own_key), memory(std::move(packed)) {}
  ~Constants() {
    Registry& registry = Registry::only();
    std::lock_guard<std::mutex> lock(registry.mutex);
    const auto found = registry.constants.find(key);
    // Not if somebody has packed the same in between.
    if (found != registry.constants.end() && found->second.expired())
      registry.constants.erase(found);
  }
  Constants(const Constants&) = delete;
  Constants& operator=(const Constants&) = delete;
};

AlignedMemory pack(const Kernel& kernel, Layer layer) {
  layer.batch = 1;
  AlignedMemory memory = allocate_aligned(kernel.constants_bytes(layer));
  kernel.pack_constants(layer, memory.get());
  return memory;
}

}  // namespace

std::shared_ptr<const char> packed_constants(const Kernel& kernel,
                                             const Layer& layer) {
  const Key key(&kernel, fingerprint(layer));
  Registry& registry = Registry::only();
  std::lock_guard<std::mutex> lock(registry.mutex);
  std::weak_ptr<const Constants>& known = registry.constants[key];
  std::shared_ptr<const Constants> constants = known.lock();
  if (constants == nullptr) {
    constants = std::make_shared<Constants>(key, pack(kernel, layer));
    known = constants;
  }
  return {constants, constants->memory.get()};
}

}  // namespace aqe
