/* What the Kotlin classes of this module call. */
#include <jni.h>
#include <stddef.h>
#include <stdint.h>

#include "keras_aqe/aqe_delegate.h"

/* LiteRT's LiteRtAcceleratorDef, which the delegate's library exports. */
extern const struct LiteRtAcceleratorDef LiteRtAcceleratorImpl;

static void throw_error(JNIEnv* env, const char* name, const char* message) {
  jclass error = (*env)->FindClass(env, name);
  if (error != NULL) (*env)->ThrowNew(env, error, message);
}

JNIEXPORT jlong JNICALL Java_org_kerasaqe_AqeDelegate_create(JNIEnv* env,
                                                             jclass self,
                                                             jint num_threads) {
  KerasAqeDelegateOptions options = {KERAS_AQE_OPTIONS_VERSION, num_threads};
  TfLiteDelegate* delegate = NULL;
  (void)self;
  switch (keras_aqe_create_delegate(&options, &delegate)) {
    case KERAS_AQE_OK:
      break;
    case KERAS_AQE_OUT_OF_MEMORY:
      throw_error(env, "java/lang/OutOfMemoryError",
                  "not enough memory for the delegate");
      break;
    default:
      throw_error(env, "java/lang/IllegalArgumentException",
                  "numThreads must be 0 to 256");
  }
  return (jlong)(uintptr_t)delegate;
}

JNIEXPORT void JNICALL Java_org_kerasaqe_AqeDelegate_destroy(JNIEnv* env,
                                                             jclass self,
                                                             jlong handle) {
  (void)env, (void)self;
  keras_aqe_destroy_delegate((TfLiteDelegate*)(uintptr_t)handle);
}

JNIEXPORT jlong JNICALL
Java_org_kerasaqe_AqeAccelerator_definition(JNIEnv* env, jclass self) {
  (void)env, (void)self;
  return (jlong)(uintptr_t)&LiteRtAcceleratorImpl;
}
