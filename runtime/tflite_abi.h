// The C structs through which an interpreter (TensorFlow Lite since 2.14,
// LiteRT) and a delegate speak. No wheel ships their header, so the fields used
// here are declared with their offsets; fields after the last one used are left
// out where the interpreter allocates the struct.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aqe::tflite {

enum Status : int32_t { kOk = 0, kError = 1, kDelegateError = 2 };

enum TensorType : int32_t {
  kFloat32 = 1,
  kInt32 = 2,
  kUInt8 = 3,
  kInt64 = 4,
  kInt8 = 9
};

enum AllocationType : int32_t { kReadOnly = 1 };

struct IntArray {
  int size;
  int data[1];  // `size` of them
};

struct Tensor {
  TensorType type;
  void* data;
  IntArray* dims;
  float scale;
  int32_t zero_point;
  AllocationType allocation_type;
  size_t bytes;
  const void* allocation;
  const char* name;
  void* delegate;
  int buffer_handle;
  bool data_is_stale;
  bool is_variable;
  int quantization_type;
  void* quantization_params;
  void* sparsity;
  const IntArray* dims_signature;
};

struct Node {
  IntArray* inputs;
  IntArray* outputs;
  IntArray* intermediates;
  IntArray* temporaries;
  void* user_data;
  void* builtin_data;
  const void* custom_initial_data;
  int custom_initial_data_size;
};

struct Context;
struct Delegate;

struct Registration {
  void* (*init)(Context*, const char* buffer, size_t length);
  void (*free)(Context*, void* user_data);
  Status (*prepare)(Context*, Node*);
  Status (*invoke)(Context*, Node*);
  const char* (*profiling_string)(const Context*, const Node*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* registration_external;
  void* async_kernel;
  uint64_t inplace_operator;
#if UINTPTR_MAX == UINT64_MAX
  // Passed by value: zeros for fields of later interpreters. On 32 bits its
  // size says where the arguments behind it lie.
  uint64_t reserved[4];
#endif
};

struct Context {
  size_t tensors_size;
  Status (*GetExecutionPlan)(Context*, IntArray**);
  Tensor* tensors;
  void* impl;
  Status (*ResizeTensor)(Context*, Tensor*, IntArray* takes_ownership);
  void (*ReportError)(Context*, const char* format, ...);
  Status (*AddTensors)(Context*, int, int*);
  Status (*GetNodeAndRegistration)(Context*, int node_index, Node**,
                                   Registration**);
  Status (*ReplaceNodeSubsetsWithDelegateKernels)(Context*, Registration,
                                                  const IntArray* nodes,
                                                  Delegate*);
  int recommended_num_threads;
};

struct Delegate {
  void* data;
  Status (*Prepare)(Context*, Delegate*);
  void* CopyFromBufferHandle;
  void* CopyToBufferHandle;
  void* FreeBufferHandle;
  int64_t flags;
  void* opaque_delegate_builder;
};

struct DelegateParams {
  Delegate* delegate;
  IntArray* nodes_to_replace;
  IntArray* input_tensors;
  IntArray* output_tensors;
};

// Delegate::flags: the graph may hold tensors whose shape is known only when it
// runs. Without it an interpreter that meets a custom operator it does not know
// gives up before it asks the delegate.
constexpr int64_t kAllowDynamicTensors = 1;

#if UINTPTR_MAX == UINT32_MAX
static_assert(sizeof(Registration) == 48, "");
#endif
#if UINTPTR_MAX == UINT64_MAX
static_assert(offsetof(IntArray, data) == 4, "");
static_assert(offsetof(Tensor, data) == 8 && offsetof(Tensor, dims) == 16 &&
                  offsetof(Tensor, allocation_type) == 32 &&
                  offsetof(Tensor, bytes) == 40 &&
                  offsetof(Tensor, delegate) == 64 &&
                  offsetof(Tensor, sparsity) == 96 && sizeof(Tensor) == 112,
              "");
static_assert(offsetof(Node, user_data) == 32 &&
                  offsetof(Node, custom_initial_data) == 48 &&
                  offsetof(Node, custom_initial_data_size) == 56,
              "");
static_assert(offsetof(Registration, invoke) == 24 &&
                  offsetof(Registration, builtin_code) == 40 &&
                  offsetof(Registration, custom_name) == 48 &&
                  offsetof(Registration, version) == 56 &&
                  offsetof(Registration, inplace_operator) == 80,
              "");
static_assert(offsetof(Context, tensors) == 16 &&
                  offsetof(Context, ResizeTensor) == 32 &&
                  offsetof(Context, ReportError) == 40 &&
                  offsetof(Context, GetNodeAndRegistration) == 56 &&
                  offsetof(Context, ReplaceNodeSubsetsWithDelegateKernels) ==
                      64 &&
                  offsetof(Context, recommended_num_threads) == 72,
              "");
static_assert(offsetof(Delegate, Prepare) == 8 &&
                  offsetof(Delegate, flags) == 40 && sizeof(Delegate) == 56,
              "");
#endif

}  // namespace aqe::tflite
