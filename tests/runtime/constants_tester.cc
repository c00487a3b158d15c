// Constants that layers share: packed once for those that are alike, whichever
// memory they lie in, by any number of threads and in children; anew for those
// that differ in anything; gone with their last user.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "keras_aqe/kernel.h"
#include "packed_constants.h"

namespace {

constexpr int kThreads = 4, kRounds = 5000, kChannels = 3, kBits = 2;
constexpr size_t kPlaneBytes = 100;

std::atomic<int> packed{0};

aqe::Kernel make_kernel() {
  aqe::Kernel kernel = {};
  kernel.constants_bytes = [](const aqe::Layer&) {
    return kBits * kPlaneBytes;
  };
  kernel.pack_constants = [](const aqe::Layer& layer, void* constants) {
    ++packed;
    std::memcpy(constants, layer.weights, kBits * kPlaneBytes);
  };
  return kernel;
}

const aqe::Kernel first = make_kernel(), second = make_kernel();

// A layer with memory of its own.
struct Owner {
  aqe::Layer layer;
  std::vector<uint8_t> weights = std::vector<uint8_t>(kBits * kPlaneBytes);
  std::vector<int32_t> thresholds = std::vector<int32_t>(2 * kChannels, 5);
  std::vector<int8_t> direction = std::vector<int8_t>(kChannels, 1);
  std::vector<float> scale = std::vector<float>(kChannels, 2.0f);

  explicit Owner(int content = 0) {
    std::iota(weights.begin(), weights.end(), static_cast<uint8_t>(content));
    layer.out_channels = kChannels;
    layer.output = aqe::Type::kPacked2;
    layer.weight_bits = kBits;
    layer.weights = weights.data();
    layer.weight_plane_bytes = kPlaneBytes;
    layer.thresholds = thresholds.data();
    layer.direction = direction.data();
    layer.scale = scale.data();
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

  auto constants(const aqe::Kernel& kernel = first) const {
    auto shared = aqe::packed_constants(kernel, layer);
    if (std::memcmp(shared.get(), weights.data(), weights.size()) != 0)
      shared = nullptr;
    return shared;
  }
};

int failures = 0;

void expect(bool is_true, const char* what) {
  if (is_true) return;
  std::printf("%s: not so\n", what);
  ++failures;
}

void share_alike() {
  packed = 0;
  auto one = std::make_unique<Owner>();
  auto constants = one->constants();
  Owner other, batch;
  batch.layer.batch = 7;
  one.reset();  // the file may go before what was made of it
  expect(other.constants() == constants, "another copy of a file shares");
  expect(batch.constants() == constants, "another batch shares");
  expect(packed == 1, "packed once");
  expect(other.constants(second) != constants, "another kernel has its own");
  constants.reset();
  constants = other.constants();
  expect(packed == 3, "packed anew once the last user is gone");
}

void quantize_by(aqe::Sum* sum, const aqe::Layer* quantizers, int count) {
  sum->quantizers = quantizers;
  sum->quantizer_count = count;
}

void keep_apart() {
  static const aqe::Part parts[] = {{1, nullptr}, {2, nullptr}};
  static const aqe::Part other_parts[] = {{2, nullptr}, {1, nullptr}};
  static const Owner known, quantizer(1);
  static const aqe::Layer quantizers[] = {known.layer, quantizer.layer};
  const auto constants = known.constants();
  const std::vector<std::function<void(Owner&)>> changes = {
      [](Owner& o) { o.weights.front() ^= 1; },
      [](Owner& o) { o.weights.back() ^= 128; },
      [](Owner& o) { std::swap(o.weights[7], o.weights[14]); },
      [](Owner& o) { o.thresholds.back() = 6; },
      [](Owner& o) { o.direction[1] = -1; },
      [](Owner& o) { o.scale[2] = 3.0f; },
      [](Owner& o) { o.layer.scale = nullptr; },
      [](Owner& o) { o.layer.bias = o.scale.data(); },
      [](Owner& o) { o.layer.offset = o.scale.data(); },
      [](Owner& o) { o.layer.bias = std::exchange(o.layer.scale, nullptr); },
      [](Owner& o) { o.layer.window.dilation_x = 2; },
      [](Owner& o) { o.layer.pool.pad_left = 1; },
      [](Owner& o) { o.layer.pad_value = 1; },
      [](Owner& o) { o.layer.groups = 3; },
      [](Owner& o) { o.layer.in_width = 2; },
      [](Owner& o) { o.layer.in_height = 2; },
      [](Owner& o) { o.layer.sum.has_addend = true; },
      [](Owner& o) { o.layer.sum.has_limits = true; },
      [](Owner& o) { o.layer.sum.low = -1.0f; },
      [](Owner& o) { o.layer.sum.high = 1.0f; },
      [](Owner& o) { quantize_by(&o.layer.sum, &quantizer.layer, 1); },
      [](Owner& o) { quantize_by(&o.layer.sum, &known.layer, 1); },
      [](Owner& o) { quantize_by(&o.layer.sum, quantizers, 2); },
      [](Owner& o) { o.layer.parts = parts; },
      [](Owner& o) { o.layer.parts = parts, o.layer.part_count = 2; },
      [](Owner& o) { o.layer.parts = other_parts, o.layer.part_count = 2; },
  };
  std::vector<std::shared_ptr<const char>> all = {constants};
  for (size_t i = 0; i < changes.size(); ++i) {
    Owner changed;
    changes[i](changed);
    const auto own = changed.constants();
    expect(own != nullptr, "constants are of their own layer");
    expect(std::find(all.begin(), all.end(), own) == all.end(),
           "layers that differ have their own");
    all.push_back(own);
  }
}

// Threads take and leave the same few; what they hold is never wrong.
void hammer() {
  packed = 0;
  std::atomic<bool> is_right{true};
  const Owner held;
  const auto constants = held.constants();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        const Owner own(i % 3);
        if (own.constants() == nullptr) is_right = false;
        if (i % 3 == 0 && own.constants() != constants) is_right = false;
      }
    });
  }
  std::vector<pid_t> children;
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      const Owner own(i % 3);
      const bool is_shared = i % 3 != 0 || own.constants() == constants;
      _exit(own.constants() != nullptr && is_shared ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 1;
    waitpid(child, &status, 0);
    expect(status == 0, "a child shares and packs");
  }
  for (std::thread& thread : threads) thread.join();
  expect(is_right, "threads get the constants of their layer");
}

}  // namespace

int main() {
  share_alike();
  keep_apart();
  hammer();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
