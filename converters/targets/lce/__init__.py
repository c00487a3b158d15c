"""`target="lce"`: Larq Compute Engine operators."""
