/* A program as users of the installed library write it. */
#include <stdio.h>

#include "keras_aqe/aqe_delegate.h"

int main(void) {
  const KerasAqeDelegateOptions options = {KERAS_AQE_OPTIONS_VERSION, 2};
  TfLiteDelegate* delegate;
  const int status = keras_aqe_create_delegate(&options, &delegate);
  keras_aqe_destroy_delegate(delegate);
  fputs(keras_aqe_kernel_table(), stdout);
  return status;
}
