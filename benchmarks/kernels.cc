// Times the runtime's kernels on layers of real networks, one thread.
//
//   kernel_benchmark [--layer PART_OF_NAME] [--kernel PART_OF_NAME]
//                    [--bits INPUT/WEIGHT] [--runs N] [--all 1] [--cold 1]
//                    [--conv SIZE,INPUT CHANNELS,OUTPUT CHANNELS,WINDOW]
//
// --conv times one convolution of that shape with padding instead of them.
// For each layer and pair of widths: the kernel that dispatch takes (with --all
// every kernel that fits), the median and the least time of a call, and how the
// least compares with the kernel's bound: the vector instructions that the
// multiply-accumulates need, divided by how many the CPU starts in a cycle.
// The clock is the highest measured so far. With --cold other memory goes
// through the caches between two runs, as other layers do in a network.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "keras_aqe/codes.h"
#include "keras_aqe/kernel.h"

namespace aqe {
namespace {

struct Shape {
  const char* name;
  Operator op;
  int size, in_channels, out_channels;
  int window, stride;
  int pad;   // before the first row and column
  int pool;  // size and stride
  int groups = 1;
};

constexpr Shape kShapes[] = {
    {"conv_16x16x256_256", Operator::kConv2D, 16, 256, 256, 3, 1, 1, 1},
    {"dense_8192_1024", Operator::kFullyConnected, 1, 8192, 1024, 1, 1, 0, 1},
    // Model A
    {"a_conv2", Operator::kConv2D, 30, 128, 128, 3, 1, 1, 2},
    {"a_conv3", Operator::kConv2D, 15, 128, 256, 3, 1, 1, 1},
    {"a_conv4", Operator::kConv2D, 15, 256, 256, 3, 1, 1, 2},
    {"a_conv5", Operator::kConv2D, 7, 256, 512, 3, 1, 1, 1},
    {"a_conv6", Operator::kConv2D, 7, 512, 512, 3, 1, 1, 2},
    {"a_dense1", Operator::kFullyConnected, 3, 512, 1024, 3, 1, 0, 1},
    {"a_dense2", Operator::kFullyConnected, 1, 1024, 1024, 1, 1, 0, 1},
    {"a_dense3", Operator::kFullyConnected, 1, 1024, 10, 1, 1, 0, 1},
    // ResNet-18 at 224 x 224
    {"resnet18_56", Operator::kConv2D, 56, 64, 64, 3, 1, 1, 1},
    {"resnet18_28_stride", Operator::kConv2D, 56, 64, 128, 3, 2, 0, 1},
    {"resnet18_14", Operator::kConv2D, 14, 256, 256, 3, 1, 1, 1},
    {"resnet18_7", Operator::kConv2D, 7, 512, 512, 3, 1, 1, 1},
    {"resnet18_1x1", Operator::kConv2D, 28, 128, 256, 1, 2, 0, 1},
    // ResNet-110 and DenseNet-100
    {"resnet110_32", Operator::kConv2D, 32, 16, 16, 3, 1, 1, 1},
    {"resnet110_16", Operator::kConv2D, 16, 32, 32, 3, 1, 1, 1},
    {"resnet110_8", Operator::kConv2D, 8, 64, 64, 3, 1, 1, 1},
    {"densenet100_1x1", Operator::kConv2D, 16, 240, 48, 1, 1, 0, 1},
    {"densenet100_3x3", Operator::kConv2D, 16, 48, 12, 3, 1, 1, 1},
    // MobileNetV1
    {"mobilenet_dw_112", Operator::kDepthwiseConv2D, 112, 32, 32, 3, 1, 1, 1,
     32},
    {"mobilenet_dw_14", Operator::kDepthwiseConv2D, 14, 512, 512, 3, 1, 1, 1,
     512},
    {"mobilenet_1x1_56", Operator::kConv2D, 56, 128, 128, 1, 1, 0, 1},
    {"mobilenet_1x1_14", Operator::kConv2D, 14, 512, 512, 1, 1, 0, 1},
    // Four groups of 16 channels
    {"groups_16", Operator::kConv2D, 16, 64, 64, 3, 1, 1, 1, 4},
};

constexpr Shape kImageShapes[] = {
    {"a_conv1", Operator::kConv2D, 32, 3, 128, 3, 1, 0, 1},
    {"resnet18_conv1", Operator::kConv2D, 224, 3, 64, 7, 2, 3, 1},
    {"mobilenet_conv1", Operator::kConv2D, 224, 3, 32, 3, 2, 0, 1},
    {"resnet110_conv1", Operator::kConv2D, 32, 3, 16, 3, 1, 1, 1},
    {"densenet100_conv1", Operator::kConv2D, 32, 3, 24, 3, 1, 1, 1},
    {"digits_conv1", Operator::kConv2D, 28, 1, 32, 5, 1, 2, 1},
};

// Multiply-accumulates that one cycle can do at best: of the instructions in a
// kernel's inner loop those that use the vector units' ports, and how many of
// them an Intel core of 2021 or later starts in a cycle.
struct Bound {
  const char* kernel;
  int input, weights;  // 0: any
  double macs, instructions, per_cycle;
};

constexpr Bound kBounds[] = {
    {"xnor_avx512", 1, 1, 2048, 6, 2},
    {"planes_avx512", 1, 1, 1024, 5, 2},
    {"planes_avx512", 2, 2, 512, 5, 2},
    {"planes_avx512", 0, 0, 512, 3, 2},
    {"dot_avx512", 0, 0, 64, 1, 2},
    {"image_avx512", 0, 0, 16, 1, 2},
    {"image_rows_avx512", 0, 0, 16, 1, 2},
    {"conv_2d_rows_avx512", 0, 0, 64, 1, 2},
    {"pixels_avx512", 0, 0, 64, 1, 2},
};

double bound_macs_per_cycle(const Kernel& kernel, const Layer& layer) {
  const int input = is_code(layer.input) ? bits(layer.input) : 32;
  for (const Bound& bound : kBounds) {
    if (std::strstr(kernel.name, bound.kernel) != nullptr &&
        (bound.input == 0 || bound.input == input) &&
        (bound.weights == 0 || bound.weights == layer.weight_bits))
      return bound.macs / bound.instructions * bound.per_cycle;
  }
  return 0;
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Cycles of a second, by operations that wait for each other: the most of all
// measurements so far, since what else runs on the core only takes away.
double measure_clock() {
  static double best = 0;
  for (int repeat = 0; repeat < 2000; ++repeat) {
    constexpr int kRounds = 100;
    uint64_t value = 1, other = 3;
    const auto start = Clock::now();
    for (int i = 0; i < kRounds; ++i) {
      for (int k = 0; k < 50; ++k) {
        value ^= other;
        asm volatile("" : "+r"(value), "+r"(other));
      }
    }
    best = std::max(best, kRounds * 50 / seconds_since(start));
  }
  return best;
}

// Aligned memory filled with random bits.
class Buffer {
 public:
  explicit Buffer(size_t bytes) {
    if (posix_memalign(&data_, 64, std::max<size_t>(bytes, 64)) != 0)
      std::abort();
    std::mt19937_64 random(bytes);
    for (size_t i = 0; i < bytes; ++i)
      static_cast<uint8_t*>(data_)[i] = static_cast<uint8_t>(random());
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

struct Case {
  Layer layer;
  std::vector<uint8_t> weights;
  std::vector<int32_t> thresholds;
  std::vector<float> float_thresholds, input_scale, input_offset;
  std::vector<int8_t> direction;
};

void make_case(const Shape& shape, Type input, int weight_bits, Case* c) {
  Layer& layer = c->layer;
  layer.op = shape.op;
  layer.input = input;
  layer.weight_bits = weight_bits;
  layer.output = is_packed(input) ? input : static_cast<Type>(weight_bits);
  layer.in_channels = shape.in_channels;
  layer.out_channels = shape.out_channels;
  layer.groups = shape.groups;
  layer.in_height = layer.in_width = shape.size;
  Window& window = layer.window;
  if (shape.op == Operator::kFullyConnected) {
    layer.in_height = 1;
    layer.in_width = window.width = shape.size * shape.size;
  } else {
    window.height = window.width = shape.window;
    window.stride_y = window.stride_x = shape.stride;
    window.pad_top = window.pad_left = shape.pad;
    layer.conv_height = layer.conv_width =
        shape.pad > 0 || shape.stride > 1
            ? (shape.size + shape.stride - 1) / shape.stride
            : shape.size - shape.window + 1;
    layer.has_pool = shape.pool > 1;
    layer.pool.height = layer.pool.width = layer.pool.stride_y =
        layer.pool.stride_x = shape.pool;
    layer.out_height = layer.conv_height / shape.pool;
    layer.out_width = layer.conv_width / shape.pool;
  }

  std::mt19937_64 random(1);
  layer.weight_plane_bytes = static_cast<size_t>(
      (layer.weights_per_output() * layer.out_channels + 7) / 8);
  c->weights.resize(layer.weight_plane_bytes * weight_bits);
  for (uint8_t& byte : c->weights) byte = static_cast<uint8_t>(random());
  layer.weights = c->weights.data();
  const int levels = threshold_count(layer.output);
  for (int k = 0; k < levels; ++k) {
    for (int o = 0; o < layer.out_channels; ++o)
      c->thresholds.push_back((2 * k - levels) * 10);
  }
  c->float_thresholds.assign(c->thresholds.begin(), c->thresholds.end());
  c->direction.assign(layer.out_channels, 1);
  layer.thresholds = c->thresholds.data();
  layer.float_thresholds = c->float_thresholds.data();
  layer.direction = c->direction.data();
  c->input_scale.assign(layer.in_channels, 2);
  c->input_offset.assign(layer.in_channels, -255);
  layer.input_scale = c->input_scale.data();
  layer.input_offset = c->input_offset.data();
}

struct Times {
  double median, least;
};

// More than the caches of one core hold.
constexpr size_t kOtherBytes = 4 << 20;

void read_all(const Buffer& buffer, size_t bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i < bytes; i += 64)
    sum += static_cast<const uint8_t*>(buffer.data())[i];
  asm volatile("" : : "r"(sum));
}

Times time_runs(const Kernel& kernel, const Layer& layer, int runs,
                bool is_cold) {
  Buffer input(layer.in_pixels() * pixel_bytes(layer.input, layer.in_channels));
  if (layer.input == Type::kFloat32) {
    std::fill_n(static_cast<float*>(input.data()),
                layer.in_pixels() * layer.in_channels, 0.5f);
  }
  Buffer output(layer.out_pixels() *
                pixel_bytes(layer.output, layer.out_channels));
  Buffer constants(kernel.constants_bytes(layer));
  Buffer scratch(kernel.scratch_bytes(layer));
  kernel.pack_constants(layer, constants.data());
  const Buffer other(kOtherBytes);
  std::vector<double> times;
  for (int i = 0; i < runs + 5; ++i) {
    if (is_cold) read_all(other, kOtherBytes);
    const auto start = Clock::now();
    kernel.run(layer, constants.data(), input.data(), output.data(),
               scratch.data(), 0, kernel.units(layer));
    times.push_back(seconds_since(start));
  }
  times.erase(times.begin(), times.begin() + 5);
  std::sort(times.begin(), times.end());
  return {times[runs / 2], times[0]};
}

struct Options {
  std::string layer, kernel, bits;
  Shape shape = {"", Operator::kConv2D, 0, 0, 0, 0, 1, 0, 1};
  int runs = 100;
  bool all = false, cold = false;
};

void time_kernel(const Options& options, const Shape& shape, const Case& c,
                 const Kernel& kernel, const std::string& bits) {
  if (std::strstr(kernel.name, options.kernel.c_str()) == nullptr) return;
  const double clock = measure_clock();
  const Times times = time_runs(kernel, c.layer, options.runs, options.cold);
  const double positions =
      c.layer.has_pool ? double{1} * c.layer.out_height * c.layer.out_width *
                             c.layer.pool.height * c.layer.pool.width
                       : double{1} * c.layer.out_height * c.layer.out_width;
  const double macs =
      positions * c.layer.out_channels * c.layer.weights_per_output();
  const double per_cycle = macs / (times.least * clock);
  const double bound = bound_macs_per_cycle(kernel, c.layer);
  std::printf("%-20s %-6s %-32s %9.2f us, least %9.2f: %6.1f MAC/cycle",
              shape.name, bits.c_str(), kernel.name, times.median * 1e6,
              times.least * 1e6, per_cycle);
  if (bound > 0)
    std::printf("  %3.0f %% of %.0f", 100 * per_cycle / bound, bound);
  std::printf("\n");
  std::fflush(stdout);
}

void time_layer(const Options& options, const Shape& shape, Type input,
                int weight_bits) {
  const std::string bits = (is_code(input) ? std::to_string(aqe::bits(input))
                            : input == Type::kUInt8 ? "uint8"
                                                    : "32") +
                           "/" + std::to_string(weight_bits);
  if (!options.bits.empty() && options.bits != bits) return;
  if (std::strstr(shape.name, options.layer.c_str()) == nullptr) return;
  Case c;
  make_case(shape, input, weight_bits, &c);
  const uint32_t features = cpu_features();
  if (!options.all) {
    if (const Kernel* kernel = select_kernel(c.layer, features))
      time_kernel(options, shape, c, *kernel, bits);
    return;
  }
  for (const Kernel* const* kernel = kernel_table; *kernel != nullptr;
       ++kernel) {
    if (fits(**kernel, c.layer, features))
      time_kernel(options, shape, c, **kernel, bits);
  }
}

}  // namespace
}  // namespace aqe

int main(int argc, char** argv) {
  using aqe::Type;
  aqe::Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--layer") options.layer = argv[i + 1];
    if (name == "--kernel") options.kernel = argv[i + 1];
    if (name == "--bits") options.bits = argv[i + 1];
    if (name == "--conv") {
      aqe::Shape& shape = options.shape;
      if (std::sscanf(argv[i + 1], "%d,%d,%d,%d", &shape.size,
                      &shape.in_channels, &shape.out_channels,
                      &shape.window) != 4) {
        std::fprintf(stderr, "--conv takes four numbers\n");
        return 1;
      }
      shape.name = argv[i + 1];
      shape.pad = shape.window / 2;
    }
    if (name == "--runs") options.runs = std::stoi(argv[i + 1]);
    if (name == "--cold") options.cold = std::stoi(argv[i + 1]) != 0;
    if (name == "--all") options.all = std::stoi(argv[i + 1]) != 0;
  }
  std::printf("CPU features: %s; %.2f GHz\n",
              aqe::feature_names(aqe::cpu_features()).c_str(),
              aqe::measure_clock() / 1e9);
  const auto time_codes = [&](const aqe::Shape& shape) {
    for (const Type input :
         {Type::kPacked1, Type::kPacked2, Type::kPacked3, Type::kInt8}) {
      for (const int weights : {1, 2, 3})
        aqe::time_layer(options, shape, input, weights);
    }
  };
  if (options.shape.size > 0) {
    time_codes(options.shape);
    return 0;
  }
  for (const aqe::Shape& shape : aqe::kImageShapes) {
    for (const Type input : {Type::kFloat32, Type::kUInt8}) {
      for (const int weights : {1, 2, 3})
        aqe::time_layer(options, shape, input, weights);
    }
  }
  for (const aqe::Shape& shape : aqe::kShapes) time_codes(shape);
}
