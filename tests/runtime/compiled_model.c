/* Runs a file by LiteRT's CompiledModel in C:

       compiled_model MODEL [CPU_OPTIONS [by_option]] < input > output

   Reads and writes the raw bytes of its one input and its one output.
   CPU_OPTIONS are as litert.h says. With a third argument the environment gets
   the accelerator by the option by which Kotlin gives it. */
#include <stdio.h>
#include <stdlib.h>

#include "keras_aqe/aqe_delegate.h"
#include "litert.h"

static void check(int status, const char* what) {
  if (status == 0) return;
  fprintf(stderr, "%s: status %d\n", what, status);
  exit(1);
}
#define CHECK(call) check(call, #call)

/* A LiteRtEnvOption: kLiteRtEnvOptionTagSystemGpuAcceleratorHandle, with a
   pointer as its value. */
extern const struct LiteRtAcceleratorDef LiteRtAcceleratorImpl;
static const struct {
  int tag;
  struct {
    int type;
    const void* pointer;
  } value;
} option = {30, {9, &LiteRtAcceleratorImpl}};

static void keep(void* argument) { (void)argument; }

int main(int count, char** arguments) {
  if (count < 2) return 2;
  LiteRtEnvironment environment;
  if (count > 3) {
    CHECK(LiteRtCreateEnvironment(1, &option, &environment));
  } else {
    CHECK(LiteRtCreateEnvironment(0, NULL, &environment));
    CHECK(keras_aqe_register_accelerator(environment));
    /* Once too often. */
    CHECK(keras_aqe_register_accelerator(environment));
  }
  LiteRtModel model;
  CHECK(LiteRtCreateModelFromFile(environment, arguments[1], &model));
  LiteRtOptions options;
  CHECK(LiteRtCreateOptions(&options));
  CHECK(LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu));
  if (count > 2) {
    LiteRtOpaqueOptions cpu;
    CHECK(LiteRtCreateOpaqueOptions("xnnpack", arguments[2], keep, &cpu));
    CHECK(LiteRtAddOpaqueOptions(options, cpu));
  }
  LiteRtCompiledModel compiled;
  CHECK(LiteRtCreateCompiledModel(environment, model, options, &compiled));

  LiteRtSignature signature;
  LiteRtTensor tensor;
  LiteRtRankedTensorType type;
  LiteRtTensorBufferRequirements requirements;
  LiteRtTensorBuffer buffers[2];
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
  CHECK(LiteRtLockTensorBuffer(buffers[0], &bytes,
                               kLiteRtTensorBufferLockModeWrite));
  if (fread(bytes, 1, size, stdin) != size) return 3;
  CHECK(LiteRtUnlockTensorBuffer(buffers[0]));
  CHECK(LiteRtRunCompiledModel(compiled, 0, 1, &buffers[0], 1, &buffers[1]));
  CHECK(LiteRtGetTensorBufferPackedSize(buffers[1], &size));
  CHECK(LiteRtLockTensorBuffer(buffers[1], &bytes,
                               kLiteRtTensorBufferLockModeRead));
  fwrite(bytes, 1, size, stdout);
  CHECK(LiteRtUnlockTensorBuffer(buffers[1]));

  LiteRtDestroyTensorBuffer(buffers[0]);
  LiteRtDestroyTensorBuffer(buffers[1]);
  /* Before what was made in it. */
  LiteRtDestroyEnvironment(environment);
  LiteRtDestroyCompiledModel(compiled);
  LiteRtDestroyOptions(options);
  LiteRtDestroyModel(model);
  return 0;
}
