class ConversionError(ValueError):
    """A model cannot be converted, or a file is not what it should be."""


class EngineMissingError(ConversionError):
    """What runs a file is not installed."""


def damaged(fault):
    """The error of a file that is not as it was written."""
    return ConversionError(
        f"The file is damaged: {fault}. Copy it again, or convert the model "
        "again."
    )
