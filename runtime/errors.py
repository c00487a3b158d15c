class ConversionError(ValueError):
    """A model cannot be converted, or a file is not what it should be.

    Its message names the layer and says what to do.

    Attributes:
        layer: Name of the layer that it is about, `None` if it is the model
            as a whole.
        more: The errors of other layers that were found with it, for
            `keras_aqe.check`.

    Example:

    ```python
    from keras_aqe import converters

    try:
        converters.report(b"these bytes are no file")
    except converters.ConversionError as error:
        print(error)
    ```
    """

    def __init__(self, message: str, layer: str | None = None) -> None:
        super().__init__(message)
        self.layer = layer
        self.more: tuple[ConversionError, ...] = ()


class DamagedError(ConversionError):
    """A file is not as it was written.

    Args:
        fault: What is wrong with it.
    """

    def __init__(self, fault: object) -> None:
        super().__init__(
            f"The file is damaged: {fault}. Copy it again, or convert the "
            "model again."
        )
        self.fault = str(fault)


class EngineMissingError(ConversionError):
    """What runs a file is not installed."""
