// What the shared library exports. No exception leaves it.
#include <cstdlib>
#include <cstring>
#include <string>

#include "accelerator.h"
#include "delegate.h"
#include "keras_aqe/aqe_delegate.h"
#include "keras_aqe/kernel.h"

#define KERAS_AQE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

TfLiteDelegate* as_c(aqe::tflite::Delegate* delegate) {
  return reinterpret_cast<TfLiteDelegate*>(delegate);
}

aqe::tflite::Delegate* from_c(TfLiteDelegate* delegate) {
  return reinterpret_cast<aqe::tflite::Delegate*>(delegate);
}

bool parse_threads(const char* value, int* threads) {
  char* end = nullptr;
  const long number = std::strtol(value, &end, 10);
  if (end == value || *end != '\0' || number < 1 || number > aqe::kMaxThreads)
    return false;
  *threads = static_cast<int>(number);
  return true;
}

std::string table_text() {
  const uint32_t features = aqe::cpu_features();
  std::string text = aqe::feature_names(features) + "\n";
  for (const aqe::Kernel* const* kernel = aqe::kernel_table; *kernel != nullptr;
       ++kernel) {
    text += std::string((*kernel)->name) + "\t" +
            std::to_string((*kernel)->inputs) + "\t" +
            std::to_string((*kernel)->weights) + "\t" +
            aqe::feature_names((*kernel)->features) + "\t" +
            (((*kernel)->features & ~features) == 0 ? "yes" : "no") + "\n";
  }
  return text;
}

}  // namespace

KERAS_AQE_EXPORT int keras_aqe_create_delegate(
    const KerasAqeDelegateOptions* options, TfLiteDelegate** delegate) {
  if (delegate == nullptr) return KERAS_AQE_INVALID_ARGUMENT;
  *delegate = nullptr;
  int num_threads = 0;
  if (options != nullptr) {
    if (options->version != KERAS_AQE_OPTIONS_VERSION)
      return KERAS_AQE_WRONG_VERSION;
    num_threads = options->num_threads;
    if (num_threads < 0 || num_threads > aqe::kMaxThreads)
      return KERAS_AQE_INVALID_ARGUMENT;
  }
  try {
    *delegate = as_c(aqe::create_delegate(num_threads));
    return KERAS_AQE_OK;
  } catch (...) {
    return KERAS_AQE_OUT_OF_MEMORY;
  }
}

KERAS_AQE_EXPORT int keras_aqe_destroy_delegate(TfLiteDelegate* delegate) {
  return delegate == nullptr || aqe::release_delegate(from_c(delegate))
             ? KERAS_AQE_OK
             : KERAS_AQE_INVALID_ARGUMENT;
}

KERAS_AQE_EXPORT int keras_aqe_register_accelerator(
    struct LiteRtEnvironmentT* environment) {
  return aqe::litert::register_accelerator(
      reinterpret_cast<aqe::litert::Environment*>(environment));
}

// The CPU's features in the first line, then the kernels, in the order of
// preference: name, set of input types, set of weight widths, needed features,
// whether it may run here; separated by tabs.
KERAS_AQE_EXPORT const char* keras_aqe_kernel_table(void) {
  try {
    static const std::string text = table_text();
    return text.c_str();
  } catch (...) {
    return "";
  }
}

// What the operators that a delegate was given run as, and took where it was
// made with the option profile=1: see aqe::profile_text.
KERAS_AQE_EXPORT const char* keras_aqe_profile(TfLiteDelegate* delegate) {
  try {
    return aqe::profile_text(from_c(delegate));
  } catch (...) {
    return "";
  }
}

// By which interpreters load a delegate by path (`experimental_delegates`,
// `--external_delegate_path`).
KERAS_AQE_EXPORT TfLiteDelegate* tflite_plugin_create_delegate(
    char** keys, char** values, size_t count,
    void (*report_error)(const char*)) {
  const auto fail = [&](const std::string& message) -> TfLiteDelegate* {
    if (report_error != nullptr) report_error(message.c_str());
    return nullptr;
  };
  try {
    int num_threads = 0;
    bool is_timed = false;
    if (count > 0 && (keys == nullptr || values == nullptr))
      return fail("keras-aqe: the delegate options are null");
    for (size_t i = 0; i < count; ++i) {
      if (keys[i] == nullptr || values[i] == nullptr)
        return fail("keras-aqe: a delegate option is null");
      if (std::strcmp(keys[i], "profile") == 0) {
        is_timed = std::strcmp(values[i], "1") == 0;
        if (!is_timed && std::strcmp(values[i], "0") != 0)
          return fail(std::string("keras-aqe: profile must be 0 or 1, but "
                                  "is: ") +
                      values[i]);
        continue;
      }
      if (std::strcmp(keys[i], "num_threads") != 0)
        return fail(std::string("keras-aqe: unknown delegate option: ") +
                    keys[i]);
      if (!parse_threads(values[i], &num_threads)) {
        return fail(std::string("keras-aqe: num_threads must be a number from "
                                "1 to 256, but is: ") +
                    values[i]);
      }
    }
    return as_c(aqe::create_delegate(num_threads, is_timed));
  } catch (...) {
    return fail("keras-aqe: not enough memory for the delegate");
  }
}

KERAS_AQE_EXPORT void tflite_plugin_destroy_delegate(TfLiteDelegate* delegate) {
  aqe::release_delegate(from_c(delegate));
}
