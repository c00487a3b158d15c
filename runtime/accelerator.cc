// LiteRT applies it to every model of its environment; those without our
// operators are left as they are.
#include "accelerator.h"

#include <dlfcn.h>

#include <cstddef>

#include "delegate.h"

namespace aqe::litert {
namespace {

Status get_name(const Accelerator*, const char** name) {
  if (name == nullptr) return kInvalidArgument;
  *name = "keras-aqe";
  return kOk;
}

Status get_version(const Accelerator*, Version* version) {
  if (version == nullptr) return kInvalidArgument;
  *version = {1, 0, 0};
  return kOk;
}

Status get_hardware_support(const Accelerator*, int32_t* hardware) {
  if (hardware == nullptr) return kInvalidArgument;
  *hardware = kCpu;
  return kOk;
}

Status is_responsible_for_jit_compilation(const Accelerator*, bool* is) {
  if (is == nullptr) return kInvalidArgument;
  *is = false;
  return kOk;
}

bool can_wrap(const RuntimeContext* context) {
  constexpr size_t kSize = offsetof(RuntimeContext, wrap_delegate) +
                           sizeof(RuntimeContext::wrap_delegate);
  return context != nullptr && context->header.major_version == 1 &&
         context->header.struct_size >= kSize &&
         context->wrap_delegate != nullptr;
}

Status create_delegate(RuntimeContext* context, Environment*,
                       const Accelerator*, Options*,
                       DelegateWrapper** wrapper) {
  if (wrapper == nullptr) return kInvalidArgument;
  if (!can_wrap(context)) return kWrongVersion;
  // Threads are those that the model's options give to the interpreter.
  tflite::Delegate* delegate = nullptr;
  try {
    delegate = aqe::create_delegate(0);
  } catch (...) {
    return kMemoryAllocationFailure;
  }
  const auto release = [](tflite::Delegate* d) { release_delegate(d); };
  const Status status = context->wrap_delegate(delegate, release, wrapper);
  if (status != kOk) release_delegate(delegate);
  return status;
}

// The LiteRT that the program has loaded. Where something else than its linker
// did, as Java's loader does, its names are in no scope but its own.
class LiteRt {
 public:
  LiteRt() : library_(dlopen(kName, RTLD_LAZY | RTLD_NOLOAD)) {}
  ~LiteRt() {
    if (library_ != nullptr) dlclose(library_);
  }
  LiteRt(const LiteRt&) = delete;
  LiteRt& operator=(const LiteRt&) = delete;

  // A function, or null.
  template <class Function>
  Function* find(const char* name) const {
    void* found = dlsym(RTLD_DEFAULT, name);
    if (found == nullptr && library_ != nullptr) found = dlsym(library_, name);
    return reinterpret_cast<Function*>(found);
  }

 private:
#ifdef __APPLE__
  static constexpr const char* kName = "libLiteRt.dylib";
#else
  static constexpr const char* kName = "libLiteRt.so";
#endif
  void* library_;
};

}  // namespace

Status register_accelerator(Environment* environment) {
  if (environment == nullptr) return kInvalidArgument;
  const LiteRt litert;
  const auto create =
      litert.find<Status(Accelerator**)>("LiteRtCreateAccelerator");
  const auto add =
      litert.find<Status(Environment*, Accelerator*, void*, void (*)(void*))>(
          "LiteRtRegisterAccelerator");
  const auto set_name = litert.find<Status(Accelerator*, GetName*)>(
      "LiteRtSetAcceleratorGetName");
  const auto set_version = litert.find<Status(Accelerator*, GetVersion*)>(
      "LiteRtSetAcceleratorGetVersion");
  const auto set_hardware = litert.find<Status(Accelerator*, GetHardware*)>(
      "LiteRtSetAcceleratorGetHardwareSupport");
  const auto set_delegate = litert.find<Status(Accelerator*, CreateDelegate*)>(
      "LiteRtSetDelegateFunction");
  // Before 2.3 delegates were wrapped by another convention.
  const bool is_known =
      litert.find<void>("LiteRtDestroyDelegateWrapper") != nullptr;
  if (!create || !add || !set_name || !set_version || !set_hardware ||
      !set_delegate || !is_known)
    return kNotFound;

  Accelerator* accelerator = nullptr;
  const Status status = create(&accelerator);
  if (status != kOk) return status;
  set_name(accelerator, get_name);
  set_version(accelerator, get_version);
  set_hardware(accelerator, get_hardware_support);
  set_delegate(accelerator, create_delegate);
  // Takes the accelerator, also when it fails.
  return add(environment, accelerator, nullptr, nullptr);
}

}  // namespace aqe::litert

// LiteRT looks for it in the file libLiteRtGpuAccelerator.so of an
// environment's runtime directory.
extern "C" __attribute__((visibility("default")))
const aqe::litert::AcceleratorDefinition LiteRtAcceleratorImpl;
const aqe::litert::AcceleratorDefinition LiteRtAcceleratorImpl = {
    {sizeof(aqe::litert::AcceleratorDefinition), 1, 0, 0},
    aqe::litert::get_name,
    aqe::litert::get_version,
    aqe::litert::get_hardware_support,
    aqe::litert::is_responsible_for_jit_compilation,
    aqe::litert::create_delegate,
    {},
    {},
};
