"""`target="tflite"`: builtin operators on int8."""
