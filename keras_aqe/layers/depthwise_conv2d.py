import keras

from keras_aqe.layers.quantized import QuantizedConv, latent_kernel


@keras.saving.register_keras_serializable("keras_aqe")
class QuantDepthwiseConv2D(QuantizedConv, keras.layers.DepthwiseConv2D):
    """A depthwise 2D convolution with quantized input and kernel.

    `keras.layers.DepthwiseConv2D` on `input_quantizer(x)` with
    `kernel_quantizer(W)`; at inference both are hard
    (Chen et al., 2020, Eq. 18 to 20).

    Args:
        *args, **kwargs: Arguments of `keras.layers.DepthwiseConv2D`. A
            quantized kernel gets `keras_aqe.constraints.WeightClip`
            unless a constraint is given.
        input_quantizer: A quantizer, its name or `None`.
        kernel_quantizer: The same, for the kernel.
        pad_value: What `padding="same"` fills in, after the input quantizer.
            Keras's 0 is the default; +1 keeps a 1-bit input at one bit.

    Raises:
        ValueError: If a quantizer is unknown or cannot be used there, or if
            `pad_value` is given without `padding="same"`.

    Example:

    ```pycon
    >>> x = np.ones((1, 8, 8, 4), "float32")
    >>> layer = QuantDepthwiseConv2D(
    ...     3, input_quantizer="binary", kernel_quantizer="binary",
    ... )
    >>> tuple(layer(x).shape)
    (1, 6, 6, 4)

    ```
    """

    kernel_constraints = {"kernel": "depthwise_constraint"}
    kernel = latent_kernel("kernel")
