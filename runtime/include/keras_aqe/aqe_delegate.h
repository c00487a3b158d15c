// The delegate for C and C++: runs the operators of packed files in TensorFlow
// Lite and LiteRT.
//
// With an Interpreter:
//
//   KerasAqeDelegateOptions options = {KERAS_AQE_OPTIONS_VERSION, 2};
//   TfLiteDelegate* delegate;
//   if (keras_aqe_create_delegate(&options, &delegate) != KERAS_AQE_OK) ...
//   interpreter->ModifyGraphWithDelegate(delegate);  // before AllocateTensors
//   ...
//   keras_aqe_destroy_delegate(delegate);
//
// With a CompiledModel:
//
//   LiteRtCreateEnvironment(0, NULL, &environment);
//   if (keras_aqe_register_accelerator(environment) != 0) ...
//   LiteRtCreateCompiledModel(environment, model, options, &compiled);
#ifndef KERAS_AQE_AQE_DELEGATE_H_
#define KERAS_AQE_AQE_DELEGATE_H_

#ifdef __cplusplus
extern "C" {
#endif

// TfLiteDelegate is that of tensorflow/lite/c/common.h, LiteRtEnvironmentT that
// of litert/c/litert_common.h.
typedef struct TfLiteDelegate TfLiteDelegate;
struct LiteRtEnvironmentT;

typedef enum KerasAqeStatus {
  KERAS_AQE_OK = 0,
  KERAS_AQE_INVALID_ARGUMENT = 1,
  KERAS_AQE_OUT_OF_MEMORY = 2,
  KERAS_AQE_WRONG_VERSION = 8
} KerasAqeStatus;

// The layout of KerasAqeDelegateOptions.
#define KERAS_AQE_OPTIONS_VERSION 1

typedef struct KerasAqeDelegateOptions {
  int version;      // KERAS_AQE_OPTIONS_VERSION
  int num_threads;  // 1 to 256; 0 is what the interpreter recommends
} KerasAqeDelegateOptions;

// Creates a delegate; null options are the defaults. Returns a KerasAqeStatus.
int keras_aqe_create_delegate(const KerasAqeDelegateOptions* options,
                              TfLiteDelegate** delegate);

// Destroys it; null is nothing. Interpreters that still have it go on to run,
// and its memory goes with the last of them. Returns a KerasAqeStatus:
// KERAS_AQE_INVALID_ARGUMENT if it was not created or is destroyed already.
int keras_aqe_destroy_delegate(TfLiteDelegate* delegate);

// Lets every CompiledModel that is made in a LiteRtEnvironment from now on run
// packed files. Needs LiteRT 2.3. Returns a LiteRtStatus: 6 (not found) where
// the program has loaded no libLiteRt that exports LiteRtRegisterAccelerator.
int keras_aqe_register_accelerator(struct LiteRtEnvironmentT* environment);

// What the operators of a delegate's interpreters run as, as text: a line for
// each, of its index in the file, its kernel, its runs and their nanoseconds,
// separated by tabs. The times are 0 unless the delegate was made with the
// option profile=1. Good until the next call; empty for a delegate that was not
// created or is destroyed.
const char* keras_aqe_profile(TfLiteDelegate* delegate);

// The kernels and which of them this CPU can run, as text.
const char* keras_aqe_kernel_table(void);

#ifdef __cplusplus
}
#endif

#endif  // KERAS_AQE_AQE_DELEGATE_H_
