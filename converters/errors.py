class ConversionError(ValueError):
    """A model cannot be converted, or a file is not what it should be.

    Its message names the layer and says what to do.

    Example:

    ```python
    from keras_aqe import converters

    try:
        converters.report(b"these bytes are no file")
    except converters.ConversionError as error:
        print(error)
    ```
    """


class EngineMissingError(ConversionError):
    """What runs a file is not installed."""


def damaged(fault: object) -> ConversionError:
    """The error of a file that is not as it was written."""
    return ConversionError(
        f"The file is damaged: {fault}. Copy it again, or convert the model "
        "again."
    )
