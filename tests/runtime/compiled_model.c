/* Runs a file by LiteRT's CompiledModel in C:

       compiled_model MODEL [HARDWARE] < input > output

   Reads and writes the raw bytes of its one input and its one output. HARDWARE
   is a LiteRtHwAcceleratorSet: 1, the default, is the CPU, with XNNPACK; 2
   leaves LiteRT's own kernels beside ours. The declarations are those of
   LiteRT's C headers, which no wheel has. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "keras_aqe/aqe_delegate.h"

typedef struct LiteRtEnvironmentT* Environment;
typedef void *Model, *Options, *CompiledModel, *Buffer, *Requirements;
typedef void *Signature, *Tensor;
typedef struct {
  uint32_t rank_and_more, sizes[8], strides[8];
} Layout;
typedef struct {
  int element_type;
  Layout layout;
} TensorType;

int LiteRtCreateEnvironment(int num_options, const void*, Environment*);
int LiteRtCreateModelFromFile(Environment, const char*, Model*);
int LiteRtGetModelSignature(Model, size_t, Signature*);
int LiteRtGetSignatureInputTensorByIndex(Signature, size_t, Tensor*);
int LiteRtGetSignatureOutputTensorByIndex(Signature, size_t, Tensor*);
int LiteRtGetRankedTensorType(Tensor, TensorType*);
int LiteRtCreateOptions(Options*);
int LiteRtSetOptionsHardwareAccelerators(Options, int);
int LiteRtCreateCompiledModel(Environment, Model, Options, CompiledModel*);
int LiteRtGetCompiledModelInputTensorLayout(CompiledModel, size_t, size_t,
                                            Layout*);
int LiteRtGetCompiledModelOutputTensorLayouts(CompiledModel, size_t, size_t,
                                              Layout*, bool update);
int LiteRtGetCompiledModelInputBufferRequirements(CompiledModel, size_t, size_t,
                                                  Requirements*);
int LiteRtGetCompiledModelOutputBufferRequirements(CompiledModel, size_t,
                                                   size_t, Requirements*);
int LiteRtCreateManagedTensorBufferFromRequirements(Environment,
                                                    const TensorType*,
                                                    Requirements, Buffer*);
int LiteRtGetTensorBufferPackedSize(Buffer, size_t*);
int LiteRtLockTensorBuffer(Buffer, void**, int mode);
int LiteRtUnlockTensorBuffer(Buffer);
int LiteRtRunCompiledModel(CompiledModel, size_t, size_t, Buffer*, size_t,
                           Buffer*);
void LiteRtDestroyTensorBuffer(Buffer);
void LiteRtDestroyCompiledModel(CompiledModel);
void LiteRtDestroyOptions(Options);
void LiteRtDestroyModel(Model);
void LiteRtDestroyEnvironment(Environment);

static void check(int status, const char* what) {
  if (status == 0) return;
  fprintf(stderr, "%s: status %d\n", what, status);
  exit(1);
}
#define CHECK(call) check(call, #call)

enum { kRead = 0, kWrite = 1 };

int main(int count, char** arguments) {
  if (count < 2) return 2;
  const int hardware = count > 2 ? atoi(arguments[2]) : 1;
  Environment environment;
  CHECK(LiteRtCreateEnvironment(0, NULL, &environment));
  CHECK(keras_aqe_register_accelerator(environment));
  Model model;
  CHECK(LiteRtCreateModelFromFile(environment, arguments[1], &model));
  Options options;
  CHECK(LiteRtCreateOptions(&options));
  CHECK(LiteRtSetOptionsHardwareAccelerators(options, hardware));
  CompiledModel compiled;
  CHECK(LiteRtCreateCompiledModel(environment, model, options, &compiled));

  Signature signature;
  Tensor tensor;
  TensorType type;
  Requirements requirements;
  Buffer buffers[2];
  CHECK(LiteRtGetModelSignature(model, 0, &signature));
  CHECK(LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensor));
  CHECK(LiteRtGetRankedTensorType(tensor, &type));
  /* With a batch of 1 where the file leaves it open. */
  CHECK(LiteRtGetCompiledModelInputTensorLayout(compiled, 0, 0, &type.layout));
  CHECK(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0,
                                                      &requirements));
  CHECK(LiteRtCreateManagedTensorBufferFromRequirements(
      environment, &type, requirements, &buffers[0]));
  CHECK(LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor));
  CHECK(LiteRtGetRankedTensorType(tensor, &type));
  CHECK(LiteRtGetCompiledModelOutputTensorLayouts(compiled, 0, 1, &type.layout,
                                                  true));
  CHECK(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0,
                                                       &requirements));
  CHECK(LiteRtCreateManagedTensorBufferFromRequirements(
      environment, &type, requirements, &buffers[1]));

  size_t size;
  void* bytes;
  CHECK(LiteRtGetTensorBufferPackedSize(buffers[0], &size));
  CHECK(LiteRtLockTensorBuffer(buffers[0], &bytes, kWrite));
  if (fread(bytes, 1, size, stdin) != size) return 3;
  CHECK(LiteRtUnlockTensorBuffer(buffers[0]));
  CHECK(LiteRtRunCompiledModel(compiled, 0, 1, &buffers[0], 1, &buffers[1]));
  CHECK(LiteRtGetTensorBufferPackedSize(buffers[1], &size));
  CHECK(LiteRtLockTensorBuffer(buffers[1], &bytes, kRead));
  fwrite(bytes, 1, size, stdout);
  CHECK(LiteRtUnlockTensorBuffer(buffers[1]));

  LiteRtDestroyTensorBuffer(buffers[0]);
  LiteRtDestroyTensorBuffer(buffers[1]);
  LiteRtDestroyCompiledModel(compiled);
  LiteRtDestroyOptions(options);
  LiteRtDestroyModel(model);
  LiteRtDestroyEnvironment(environment);
  return 0;
}
