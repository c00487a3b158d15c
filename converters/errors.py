class ConversionError(ValueError):
    """A model cannot be converted, or a file is not what it should be."""
