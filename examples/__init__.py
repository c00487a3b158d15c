"""Scripts to copy from, and what reproduces the paper."""
