import keras

from keras_aqe.layers.quantized import QuantizedConv


@keras.saving.register_keras_serializable("keras_aqe")
class QuantConv1D(QuantizedConv, keras.layers.Conv1D):
    """A 1D convolution with quantized input and kernel.

    `keras.layers.Conv1D` on `input_quantizer(x)` with
    `kernel_quantizer(W)`; at inference both are hard
    (Chen et al., 2020, Eq. 18 to 20).

    Args:
        *args, **kwargs: Arguments of `keras.layers.Conv1D`. A quantized
            kernel gets `keras_aqe.constraints.WeightClip` unless a
            constraint is given.
        input_quantizer: A quantizer, its name or `None`.
        kernel_quantizer: The same, for the kernel.
        pad_value: What `padding="same"` fills in, after the input quantizer.
            Keras's 0 is the default; +1 keeps a 1-bit input at one bit.

    Raises:
        ValueError: If a quantizer is unknown or cannot be used there, or if
            `pad_value` is given without `padding="same"`.

    Example:

    ```pycon
    >>> x = np.ones((1, 8, 4), "float32")
    >>> layer = QuantConv1D(
    ...     2, 3, input_quantizer="binary", kernel_quantizer="binary",
    ... )
    >>> tuple(layer(x).shape)
    (1, 6, 2)

    ```
    """
