// Classifies an image by a packed file in LiteRT, on x86-64 and ARM Linux.
//
//   classify MODEL.tflite IMAGE.png [--labels FILE] [--top N] [--runs N]
//            [--threads N] [--scale S] [--offset O] [--xnnpack 0]
//
// Prints the N classes with the greatest outputs, and the time of an inference.
// An image of another size is resized. Files that take uint8 get its pixels;
// those that take float32 get S * pixel + O, by default from -1 to 1, as in
// training. --xnnpack 0 leaves what is not ours to LiteRT's own kernels.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "keras_aqe/aqe_delegate.h"
#include "litert.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#include "stb_image.h"
#include "stb_image_resize.h"

namespace {

void check(LiteRtStatus status, const char* call) {
  if (status != 0) {
    throw std::runtime_error(std::string(call) + " failed with status " +
                             std::to_string(status));
  }
}
#define CHECK(call) check(call, #call)

struct Arguments {
  std::string model, image, labels;
  int top = 3, runs = 20, threads = 1, xnnpack = 1;
  float scale = 1 / 127.5f, offset = -1;
};

Arguments parse(int count, char** words) {
  if (count < 3 || count % 2 == 0) {
    throw std::runtime_error(
        "usage: classify MODEL.tflite IMAGE.png [--labels FILE] [--top N] "
        "[--runs N] [--threads N] [--scale S] [--offset O] [--xnnpack 0]");
  }
  Arguments arguments;
  arguments.model = words[1];
  arguments.image = words[2];
  for (int i = 3; i < count; i += 2) {
    const std::string name = words[i], value = words[i + 1];
    if (name == "--labels")
      arguments.labels = value;
    else if (name == "--top")
      arguments.top = std::stoi(value);
    else if (name == "--runs")
      arguments.runs = std::max(1, std::stoi(value));
    else if (name == "--threads")
      arguments.threads = std::max(1, std::stoi(value));
    else if (name == "--scale")
      arguments.scale = std::stof(value);
    else if (name == "--offset")
      arguments.offset = std::stof(value);
    else if (name == "--xnnpack")
      arguments.xnnpack = std::stoi(value);
    else
      throw std::runtime_error("unknown option: " + name);
  }
  return arguments;
}

// The bytes of a buffer while this lives.
class Locked {
 public:
  Locked(LiteRtTensorBuffer buffer, int mode) : buffer_(buffer) {
    CHECK(LiteRtLockTensorBuffer(buffer, &bytes_, mode));
  }
  ~Locked() { LiteRtUnlockTensorBuffer(buffer_); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(bytes_);
  }

 private:
  LiteRtTensorBuffer buffer_;
  void* bytes_ = nullptr;
};

// A file of one image and one vector, ready to run.
class Classifier {
 public:
  Classifier(const std::string& path, int threads, bool with_xnnpack) {
    CHECK(LiteRtCreateEnvironment(0, nullptr, &environment_));
    CHECK(keras_aqe_register_accelerator(environment_));
    CHECK(LiteRtCreateModelFromFile(environment_, path.c_str(), &model_));
    CHECK(LiteRtCreateOptions(&options_));
    CHECK(LiteRtSetOptionsHardwareAccelerators(options_,
                                               kLiteRtHwAcceleratorCpu));
    set_cpu_options("num_threads = " + std::to_string(threads) + "\n" +
                    (with_xnnpack ? "" : "kernel_mode = \"builtin\"\n"));
    CHECK(
        LiteRtCreateCompiledModel(environment_, model_, options_, &compiled_));
    LiteRtSignature signature;
    LiteRtTensor tensor;
    LiteRtTensorBufferRequirements requirements;
    CHECK(LiteRtGetModelSignature(model_, 0, &signature));
    CHECK(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor));
    CHECK(LiteRtGetRankedTensorType(tensor, &input_type_));
    // A batch of 1 where the file leaves it open.
    CHECK(LiteRtGetCompiledModelInputTensorLayout(compiled_, 0, 0,
                                                  &input_type_.layout));
    CHECK(LiteRtGetCompiledModelInputBufferRequirements(compiled_, 0, 0,
                                                        &requirements));
    CHECK(LiteRtCreateManagedTensorBufferFromRequirements(
        environment_, &input_type_, requirements, &input_));
    if (input_type_.layout.rank != 4 || channels() != 3)
      throw std::runtime_error(path + " does not take RGB images");

    LiteRtRankedTensorType output_type;
    CHECK(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor));
    CHECK(LiteRtGetRankedTensorType(tensor, &output_type));
    CHECK(LiteRtGetCompiledModelOutputTensorLayouts(compiled_, 0, 1,
                                                    &output_type.layout, true));
    CHECK(LiteRtGetCompiledModelOutputBufferRequirements(compiled_, 0, 0,
                                                         &requirements));
    CHECK(LiteRtCreateManagedTensorBufferFromRequirements(
        environment_, &output_type, requirements, &output_));
    if (output_type.element_type != kLiteRtElementTypeFloat32)
      throw std::runtime_error(path + " does not return float32");
  }

  ~Classifier() {
    LiteRtDestroyTensorBuffer(input_);
    LiteRtDestroyTensorBuffer(output_);
    LiteRtDestroyCompiledModel(compiled_);
    LiteRtDestroyOptions(options_);
    LiteRtDestroyModel(model_);
    LiteRtDestroyEnvironment(environment_);
  }
  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;

  int height() const { return input_type_.layout.dimensions[1]; }
  int width() const { return input_type_.layout.dimensions[2]; }
  int channels() const { return input_type_.layout.dimensions[3]; }

  void set_image(const std::vector<unsigned char>& pixels, float scale,
                 float offset) {
    const Locked locked(input_, kLiteRtTensorBufferLockModeWrite);
    if (input_type_.element_type == kLiteRtElementTypeUInt8) {
      std::copy(pixels.begin(), pixels.end(), locked.as<unsigned char>());
    } else if (input_type_.element_type == kLiteRtElementTypeFloat32) {
      std::transform(pixels.begin(), pixels.end(), locked.as<float>(),
                     [=](unsigned char p) { return scale * p + offset; });
    } else {
      throw std::runtime_error("the file takes neither uint8 nor float32");
    }
  }

  void run() {
    CHECK(LiteRtRunCompiledModel(compiled_, 0, 1, &input_, 1, &output_));
  }

  std::vector<float> scores() const {
    size_t size;
    CHECK(LiteRtGetTensorBufferPackedSize(output_, &size));
    const Locked locked(output_, kLiteRtTensorBufferLockModeRead);
    const auto* first = locked.as<float>();
    return std::vector<float>(first, first + size / sizeof(float));
  }

 private:
  void set_cpu_options(const std::string& text) {
    LiteRtOpaqueOptions options;
    CHECK(LiteRtCreateOpaqueOptions("xnnpack", strdup(text.c_str()), std::free,
                                    &options));
    CHECK(LiteRtAddOpaqueOptions(options_, options));
  }

  LiteRtEnvironment environment_ = nullptr;
  LiteRtModel model_ = nullptr;
  LiteRtOptions options_ = nullptr;
  LiteRtCompiledModel compiled_ = nullptr;
  LiteRtTensorBuffer input_ = nullptr, output_ = nullptr;
  LiteRtRankedTensorType input_type_ = {};
};

std::vector<unsigned char> read_image(const std::string& path, int width,
                                      int height) {
  int own_width, own_height, own_channels;
  unsigned char* pixels =
      stbi_load(path.c_str(), &own_width, &own_height, &own_channels, 3);
  if (pixels == nullptr)
    throw std::runtime_error(path + ": " + stbi_failure_reason());
  std::vector<unsigned char> resized(size_t{3} * width * height);
  if (own_width == width && own_height == height) {
    std::copy_n(pixels, resized.size(), resized.begin());
  } else {
    stbir_resize_uint8(pixels, own_width, own_height, 0, resized.data(), width,
                       height, 0, 3);
  }
  stbi_image_free(pixels);
  return resized;
}

std::vector<std::string> read_lines(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

void classify(const Arguments& arguments) {
  Classifier classifier(arguments.model, arguments.threads,
                        arguments.xnnpack != 0);
  classifier.set_image(
      read_image(arguments.image, classifier.width(), classifier.height()),
      arguments.scale, arguments.offset);
  classifier.run();
  std::vector<double> times;
  for (int i = 0; i < arguments.runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    classifier.run();
    times.push_back(std::chrono::duration<double, std::milli>(
                        std::chrono::steady_clock::now() - start)
                        .count());
  }

  const std::vector<float> scores = classifier.scores();
  const auto labels = read_lines(arguments.labels);
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  const size_t top = std::min<size_t>(std::max(arguments.top, 0), order.size());
  for (size_t i = 0; i < top; ++i) {
    const size_t at = order[i];
    const std::string label =
        at < labels.size() ? labels[at] : std::to_string(at);
    std::printf("%s %.9g\n", label.c_str(), scores[at]);
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2,
                   times.end());
  std::printf("%.3f ms, median of %d\n", times[times.size() / 2],
              arguments.runs);
}

}  // namespace

int main(int count, char** words) {
  try {
    classify(parse(count, words));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
