import keras

from keras_aqe.layers.quantized import Quantized


@keras.saving.register_keras_serializable("keras_aqe")
class QuantDense(Quantized, keras.layers.Dense):
    """A dense layer with quantized input and kernel.

    `keras.layers.Dense` on `input_quantizer(x)` with
    `kernel_quantizer(W)`; at inference both are hard
    (Chen et al., 2020, Eq. 18 to 20).

    Args:
        *args, **kwargs: Arguments of `keras.layers.Dense`. A quantized
            kernel gets `keras_aqe.constraints.WeightClip` unless a
            constraint is given.
        input_quantizer: A quantizer, its name or `None`.
        kernel_quantizer: The same, for the kernel.

    Raises:
        ValueError: If a quantizer is unknown or cannot be used there.

    Example:

    ```pycon
    >>> x = np.ones((1, 4), "float32")
    >>> layer = QuantDense(
    ...     2, input_quantizer="binary", kernel_quantizer="binary",
    ... )
    >>> tuple(layer(x).shape)
    (1, 2)

    ```
    """
