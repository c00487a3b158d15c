"""Types of numbers that are no codes."""

# Whole numbers that float32 holds all of.
NARROW_INTEGERS = ("bool", "int8", "uint8", "int16", "uint16")
# What Larq Compute Engine's interpreter takes as well.
BASIC = ("float32", "bool", "int8", "uint8", "int16", "int32", "int64")
# Interpreters make no floats of uint64, and NumPy knows no bfloat16.
ALL = (*BASIC, "uint16", "uint32", "float16", "float64")
