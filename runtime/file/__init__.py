"""Reading, checking and writing .tflite files, whatever is in them."""
