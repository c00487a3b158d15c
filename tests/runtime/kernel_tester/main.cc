// Runs every kernel of the table against reference on random layers around its
// tile; those of AMX on emulated tiles, too, as kernels whose names say so.
//
//   kernel_tester [--cases N] [--seed S] [--threads N] [--list 1]
//                 [--kernel PART_OF_NAME] [--bits INPUT/WEIGHT]
//
// INPUT is 1, 2, 3, 4, 8, float32, uint8 or int32; WEIGHT is 0 where there are
// none. --list prints the kernels and widths that would be run.
//
// One thread runs a layer's units in random order; several share them as in the
// delegate, two of them calling at the same time. Prints one line a kernel;
// exit status 1 if one differs. Kernels for instructions that the CPU lacks are
// named and skipped.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "buffer.h"
#include "cases.h"
#include "emulated_amx.h"
#include "keras_aqe/kernel.h"
#include "random.h"
#include "reference/reference.h"
#include "thread_pool.h"

namespace aqe {
namespace {

struct Options {
  int cases = 40, threads = 1;
  uint64_t seed = 1;
  std::string kernel, bits;
  bool lists = false;
};

size_t output_bytes(const Layer& layer) {
  return layer.out_pixels() * pixel_bytes(layer.output, layer.out_channels);
}

// What a layer reads: one tensor, or its parts.
class Inputs {
 public:
  Inputs(Random& random, const Case& c) {
    const Layer& layer = c.layer;
    add(layer.in_pixels() * pixel_bytes(layer.input, layer.in_channels));
    fill_input(random, c, input());
    const auto* values = static_cast<const float*>(input());
    for (const int channels : c.part_channels) {
      add(layer.in_pixels() * channels * sizeof(float));
      auto* part = static_cast<float*>(tensors_.back()->data());
      for (int64_t pixel = 0; pixel < layer.in_pixels(); ++pixel) {
        std::copy_n(values + pixel * layer.in_channels, channels,
                    part + pixel * channels);
      }
      values += channels;
      parts_.push_back({channels, part});
    }
    if (parts_.size() > 1) tensors_.front().reset();
  }

  // Null where there are parts.
  void* input() const {
    return tensors_.front() ? tensors_.front()->data() : nullptr;
  }
  const Part* parts() const {
    return parts_.size() > 1 ? parts_.data() : nullptr;
  }

 private:
  void add(size_t bytes) {
    tensors_.push_back(std::make_unique<Buffer>(bytes, 0));
  }

  std::vector<std::unique_ptr<Buffer>> tensors_;
  std::vector<Part> parts_;
};

// What a call writes.
class Outputs {
 public:
  Outputs(const Case& c, const Part* parts, const float* addend, int fill)
      : floats_(c.keeps_floats ? output_bytes(c.layer) : 0, fill),
        layer(c.layer) {
    for (const Layer& quantizer : c.quantizers) {
      codes_.push_back(std::make_unique<Buffer>(output_bytes(quantizer), fill));
      tensors_.push_back(codes_.back()->data());
    }
    layer.parts = parts;
    Sum& sum = layer.sum;
    sum.addend = addend;
    if (c.keeps_floats) sum.floats = static_cast<float*>(floats_.data());
    sum.codes = tensors_.data();
    output = layer.sums() ? const_cast<void*>(sum.place()) : floats_.data();
  }

  bool operator==(const Outputs& other) const {
    return equal(floats_, other.floats_) &&
           std::equal(
               codes_.begin(), codes_.end(), other.codes_.begin(),
               [](const auto& a, const auto& b) { return equal(*a, *b); });
  }

 private:
  static bool equal(const Buffer& a, const Buffer& b) {
    return std::memcmp(a.data(), b.data(), a.size()) == 0;
  }

  Buffer floats_;
  std::vector<std::unique_ptr<Buffer>> codes_;
  std::vector<void*> tensors_;  // their memory

 public:
  Layer layer;  // with the tensors of its parts and of its sum
  void* output;
};

// What every call for a layer reads.
struct Work {
  const Kernel& kernel;
  const Layer& layer;
  const void* constants;
  const void* input;
};

// Runs the units in parts and in random order, each on fresh memory.
void run_in_parts(Random& random, const Work& work, void* output) {
  const int64_t units = work.kernel.units(work.layer);
  std::vector<std::pair<int64_t, int64_t>> parts;
  for (int64_t begin = 0; begin < units;) {
    const int64_t end = std::min(units, begin + random.between(1, 4));
    parts.emplace_back(begin, end);
    begin = end;
  }
  std::shuffle(parts.begin(), parts.end(), random.engine());
  for (const auto& part : parts) {
    Buffer scratch(work.kernel.scratch_bytes(work.layer), 0xa5);
    work.kernel.run(work.layer, work.constants, work.input, output,
                    scratch.data(), part.first, part.second);
  }
}

// Runs the units on a pool, which another caller may be using.
void run_on_pool(ThreadPool& pool, const Work& work, void* output) {
  struct Call {
    const Work& work;
    void* output;
    std::vector<std::unique_ptr<Buffer>> scratch;  // of each thread
  } call = {work, output, {}};
  for (int i = 0; i < pool.threads(); ++i) {
    call.scratch.push_back(
        std::make_unique<Buffer>(work.kernel.scratch_bytes(work.layer), 0xa5));
  }
  const auto task = [](void* state, int thread, int64_t begin, int64_t end) {
    const Call& call = *static_cast<Call*>(state);
    const Work& work = call.work;
    work.kernel.run(work.layer, work.constants, work.input, call.output,
                    call.scratch[thread]->data(), begin, end);
  };
  pool.run(task, &call, work.kernel.units(work.layer),
           {pool.threads(), 4 * pool.threads(), true});
}

// Whether kernel and reference agree to the bit.
bool agrees(Random& random, const Kernel& kernel, const Case& c,
            ThreadPool& pool) {
  const Layer& layer = c.layer;
  const Inputs inputs(random, c);
  std::vector<float> values(
      layer.sum.has_addend ? layer.out_pixels() * layer.out_channels : 0);
  for (float& value : values) value = random.real();
  Buffer addend(values.size() * sizeof(float), 0);
  std::copy(values.begin(), values.end(), static_cast<float*>(addend.data()));
  const auto* addends = static_cast<const float*>(addend.data());
  Outputs expected(c, inputs.parts(), addends, 0x5a);
  reference::run(expected.layer, inputs.input(), expected.output);

  Layer one = expected.layer;  // constants do not depend on the batch
  one.batch = 1;
  Buffer constants(kernel.constants_bytes(one), 0xa5);
  kernel.pack_constants(one, constants.data());
  const auto work = [&](const Outputs& outputs) {
    return Work{kernel, outputs.layer, constants.data(), inputs.input()};
  };
  const auto is_expected = [&](const Outputs& actual) {
    return actual == expected &&
           std::equal(values.begin(), values.end(), addends);
  };
  Outputs actual(c, inputs.parts(), addends, 0xa5);
  if (pool.threads() == 1) {
    run_in_parts(random, work(actual), actual.output);
    return is_expected(actual);
  }
  Outputs others(c, inputs.parts(), addends, 0xa5);
  std::thread other([&] { run_on_pool(pool, work(others), others.output); });
  run_on_pool(pool, work(actual), actual.output);
  other.join();
  return is_expected(actual) && is_expected(others);
}

std::string type_name(Type type) {
  return type == Type::kFloat32 ? "float32"
         : type == Type::kUInt8 ? "uint8"
         : type == Type::kInt32 ? "int32"
                                : std::to_string(bits(type));
}

// Calls visit(input, weight bits, their name) for the widths of a kernel.
template <class Visit>
void for_each_width(const Kernel& kernel, const Options& options, Visit visit) {
  for (int type = 1; type < 16; ++type) {
    for (int width = 0; width <= 4; ++width) {
      if (!(kernel.inputs >> type & kernel.weights >> width & 1)) continue;
      const std::string name =
          type_name(static_cast<Type>(type)) + "/" + std::to_string(width);
      if (options.bits.empty() || options.bits == name)
        visit(static_cast<Type>(type), width, name);
    }
  }
}

std::vector<const Kernel*> all_kernels() {
  std::vector<const Kernel*> kernels;
  const auto add = [&](const Kernel* const* table) {
    for (; *table != nullptr; ++table) kernels.push_back(*table);
  };
  add(kernel_table);
#if defined(__x86_64__)
  add(emulated_amx_kernels);
#endif
  return kernels;
}

bool test_kernel(const Kernel& kernel, const Options& options,
                 ThreadPool& pool) {
  std::printf("%s: ", kernel.name);
  std::fflush(stdout);  // the last words, should it crash
  int run = 0;
  bool all_equal = true;
  for_each_width(kernel, options, [&](Type type, int width, const auto&) {
    for (int i = 0; i < options.cases && all_equal; ++i) {
      Random random(options.seed + i);
      const Case c = make_case(random, kernel, type, width);
      if (!fits(kernel, c.layer, ~0u)) continue;
      ++run;
      all_equal = agrees(random, kernel, c, pool);
      if (!all_equal) {
        std::printf("differs from reference, seed %" PRIu64 ": %s\n",
                    options.seed + i, describe(c.layer).c_str());
      }
    }
  });
  if (all_equal) std::printf("%d layers equal\n", run);
  // A kernel need not support every pair of its widths.
  return all_equal && (run > 0 || !options.bits.empty());
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--cases") options.cases = std::stoi(value);
    if (name == "--seed") options.seed = std::strtoull(value, nullptr, 10);
    if (name == "--threads") options.threads = std::stoi(value);
    if (name == "--kernel") options.kernel = value;
    if (name == "--bits") options.bits = value;
    if (name == "--list") options.lists = std::stoi(value) != 0;
  }
  return options;
}

}  // namespace
}  // namespace aqe

int main(int argc, char** argv) {
  const aqe::Options options = aqe::read_options(argc, argv);
  const uint32_t features = aqe::cpu_features();
  if (!options.lists)
    std::printf("CPU features: %s\n", aqe::feature_names(features).c_str());
  aqe::ThreadPool pool(options.threads);
  bool all_equal = true;
  for (const aqe::Kernel* at : aqe::all_kernels()) {
    const aqe::Kernel& kernel = *at;
    if (std::strstr(kernel.name, options.kernel.c_str()) == nullptr) continue;
    int widths = 0;
    aqe::for_each_width(kernel, options, [&](auto, auto, const auto& name) {
      if (options.lists) std::printf("%s %s\n", kernel.name, name.c_str());
      ++widths;
    });
    if (options.lists || widths == 0) continue;
    if (kernel.features & ~features) {
      std::printf("%s: skipped, needs %s\n", kernel.name,
                  aqe::feature_names(kernel.features).c_str());
      continue;
    }
    all_equal &= aqe::test_kernel(kernel, options, pool);
  }
  return all_equal ? 0 : 1;
}
