"""What `convert` puts into a file that TensorFlow wrote."""
