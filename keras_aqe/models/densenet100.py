import keras

from keras_aqe.models.network import network
from keras_aqe.models.parts import Parts


@network((32, 32, 3), 10, smallest=4, name="densenet100")
def DenseNet100(
    parts: Parts,
    x: keras.KerasTensor,
    *,
    depth: int = 100,
    growth_rate: int = 12,
    bottleneck: bool = True,
    compression: float = 0.5,
) -> keras.KerasTensor:
    """DenseNet-100 (k = 12) with M-bit inputs and N-bit weights.

    A 3x3 convolution and three dense blocks; each layer of a block sees the
    outputs of all before it and adds `growth_rate` channels by a 3x3
    convolution (with `bottleneck` after a 1x1 convolution to four times as
    many). Between blocks a 1x1 convolution keeps the share `compression` of
    the channels, and average pooling halves the size; global average pooling
    and a dense layer follow. The default is DenseNet-BC (0.77 million
    parameters), whose float errors, 4.51 % on CIFAR-10 and 22.27 % on
    CIFAR-100, are those that Chen et al. compare with. `bottleneck=False,
    compression=1.0` is the basic DenseNet (7.0 million parameters).

    A quantizer sits in front of each convolution, after the batch
    normalisation and hard tanh that open a layer (batch normalisation and
    ReLU where inputs are not quantized). What the layers concatenate stays
    wide: each layer normalises the same sums by a scale of its own before it
    quantizes them, and gradients reach early layers without a quantizer.

    Source: Chen et al., 2020, Table III; Huang et al., 2017, "Densely
    connected convolutional networks", Table 2.

    Args:
        depth: Number of layers, `3 n + 4` with `n` convolutions in each
            block; with `bottleneck`, `n` is even.
        growth_rate: Channels k that each layer of a block adds.
        bottleneck: Whether a 1x1 convolution to `4 k` channels stands before
            each 3x3 convolution.
        compression: Share of the channels that is kept between blocks, in
            (0, 1].

    Example:

    ```pycon
    >>> model = DenseNet100(input_bits=32, weight_bits=3, depth=10)
    >>> model.output_shape
    (None, 10)

    ```
    """
    if depth < 7 or depth % 3 != 1 or (bottleneck and depth % 6 != 4):
        raise ValueError(
            "`depth` must be 3 n + 4 with n convolutions in each block, and n "
            "must be even with `bottleneck=True`; such as 40 or 100. "
            f"Received: depth={depth}, bottleneck={bottleneck}"
        )
    if not 0 < compression <= 1:
        raise ValueError(
            "`compression` must be in (0, 1]. "
            f"Received: compression={compression}"
        )

    def dense_layer(x, name):
        y = parts.opening(x, f"{name}_input")
        if bottleneck:
            y = parts.conv(y, 4 * growth_rate, 1, f"{name}_bottleneck")
            y = parts.opening(y, f"{name}_bottleneck")
        y = parts.conv(y, growth_rate, 3, f"{name}_conv")
        return keras.layers.Concatenate(name=f"{name}_concat")([x, y])

    def transition(x, name):
        channels = int(compression * x.shape[-1])
        x = parts.opening(x, f"{name}_input")
        x = parts.conv(x, channels, 1, f"{name}_conv")
        return keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)

    layers_per_block = (depth - 4) // (6 if bottleneck else 3)
    first = 2 * growth_rate if bottleneck and compression < 1 else 16
    x = parts.image_conv(x, first, 3, "conv1")
    for block in range(3):
        if block:
            x = transition(x, f"transition{block}")
        for layer in range(layers_per_block):
            x = dense_layer(x, f"block{block + 1}_layer{layer + 1}")
    x = parts.activation(parts.norm(x, "last"), "last", quantize=False)
    return parts.pooled_logits(x)
