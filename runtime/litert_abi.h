// The C structs through which LiteRT's CompiledModel (since 2.3) and an
// accelerator speak. No wheel ships their headers, so what is used is declared
// here with its offsets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tflite_abi.h"

namespace aqe::litert {

enum Status : int32_t {
  kOk = 0,
  kInvalidArgument = 1,
  kMemoryAllocationFailure = 2,
  kRuntimeFailure = 3,
  kUnsupported = 5,
  kNotFound = 6,
  kWrongVersion = 8
};

// Bits of what an accelerator computes on.
enum Hardware : int32_t { kCpu = 1 };

struct Environment;
struct Accelerator;
struct Options;
struct DelegateWrapper;

struct Version {
  int major, minor, patch;
};

// The head of every struct whose size may grow.
struct AbiHeader {
  uint16_t struct_size;
  uint16_t major_version;
  uint16_t minor_version;
  uint16_t reserved;
};

// What the interpreter offers to an accelerator.
struct RuntimeContext {
  AbiHeader header;
  void* before[17];
  Status (*wrap_delegate)(tflite::Delegate*, void (*deleter)(tflite::Delegate*),
                          DelegateWrapper**);
};

using GetName = Status(const Accelerator*, const char**);
using GetVersion = Status(const Accelerator*, Version*);
using GetHardware = Status(const Accelerator*, int32_t* hardware);
// Whether models have to ask for the accelerator, as compiled ones do.
using CompilesAhead = Status(const Accelerator*, bool*);
using CreateDelegate = Status(RuntimeContext*, Environment*, const Accelerator*,
                              Options*, DelegateWrapper**);

// An accelerator in a shared library, under the name LiteRtAcceleratorImpl.
struct AcceleratorDefinition {
  AbiHeader header;
  GetName* get_name;
  GetVersion* get_version;
  GetHardware* get_hardware_support;
  CompilesAhead* is_responsible_for_jit_compilation;
  CreateDelegate* create_delegate;
  void* metrics[2];
  // Buffers of its own kinds, of which there are none.
  void* buffers[17];
};

#if UINTPTR_MAX == UINT64_MAX
static_assert(offsetof(RuntimeContext, wrap_delegate) == 144, "");
static_assert(offsetof(AcceleratorDefinition, create_delegate) == 40 &&
                  sizeof(AcceleratorDefinition) == 200,
              "");
#endif

}  // namespace aqe::litert
