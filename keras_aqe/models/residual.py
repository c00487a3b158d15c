"""The residual block that the ResNets are made of."""

import keras


def residual_block(
    parts, x, filters, name, strides=1, shortcut=None, gamma=1.0
):
    """Two 3x3 convolutions, each with its input quantized, and a shortcut.

    The sum goes on as it is: neither quantized nor clipped. So every block
    adds to a wide signal what its low-bit branch found, and the gradient has
    a way back that passes no quantizer (Bi-Real net, Liu et al., 2018). The
    activation and the quantizer open the branch instead ("ReLU-only
    pre-activation" of He et al., 2016, Fig. 4(d)); batch normalisation stands
    after each convolution as in He et al., 2015, with the same parameters.

    Args:
        parts: The network's `Parts`.
        x: The sum so far.
        filters: Filters of both convolutions.
        name: Name of the block.
        strides: Strides of the first convolution.
        shortcut: Function from `x` and the branch's quantized input to what
            the branch is added to. `None` means `x`.
        gamma: First gamma of the branch's last batch normalisation.

    Returns:
        The sum.
    """
    branch = quantized = parts.activation(x, f"{name}_input")
    branch = parts.conv(branch, filters, 3, f"{name}_conv1", strides=strides)
    branch = parts.norm(branch, f"{name}_conv1")
    branch = parts.activation(branch, f"{name}_conv1")
    branch = parts.conv(branch, filters, 3, f"{name}_conv2")
    branch = parts.norm(branch, f"{name}_conv2", gamma)
    if shortcut is not None:
        x = shortcut(x, quantized)
    return keras.layers.Add(name=f"{name}_add")([x, branch])
