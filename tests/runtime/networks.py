"""A small random network as a packed file."""

import numpy as np

from tests.runtime.packed_files import (
    LEVELS,
    PackedFile,
    activation_shape,
    pack_weights,
    pool_options,
    window_options,
)


def small_network(input_bits, weight_bits, seed=0, size=14, channels=80):
    """Image, convolution, convolution with max pool, dense, dense to float.

    Returns:
        The `PackedFile`, and the numbers of its input and output.
    """
    rng = np.random.default_rng(seed)
    file = PackedFile()
    image = file.tensor((1, size, size, 3), np.float32)
    x = image

    def thresholds(count, spread, dtype):
        levels = len(LEVELS[input_bits]) - 1
        values = rng.uniform(-spread, spread, (levels, count))
        direction = rng.choice([-1, 1], count).astype(np.int8)
        return [np.sort(values, axis=0).astype(dtype), direction]

    def layer(name, x, in_bits, in_channels, weights, out_shape, options):
        outputs = weights.shape[0]
        spread = np.sqrt(weights[0].size) * max(LEVELS[weight_bits])
        if in_bits != 32:
            spread *= max(LEVELS[in_bits])
        constants = thresholds(
            outputs, spread, np.float32 if in_bits == 32 else np.int32
        )
        out_bits, dtype = input_bits, np.int8 if input_bits == 8 else np.int64
        if name == "AqeFullyConnected" and outputs == 10:
            out_bits, dtype = 32, np.float32
            constants = [
                np.full(outputs, 1 / spread, np.float32),
                np.zeros(outputs, np.float32),
            ]
        else:
            out_shape = activation_shape(out_shape, input_bits)
        constants.insert(0, pack_weights(weights, weight_bits))
        target = file.tensor(out_shape, dtype)
        file.operator(
            name,
            [x, *map(file.constant, constants)],
            [target],
            {
                "format": 1,
                "input_channels": in_channels,
                "input_bits": in_bits,
                "weight_bits": weight_bits,
                "output_bits": out_bits,
                "output_channels": outputs,
                **options,
            },
        )
        return target

    def kernel(*kernel_shape):
        return rng.choice(LEVELS[weight_bits], kernel_shape)

    def window(padding):
        return window_options((3, 3), (1, 1), (1, 1), padding)

    size -= 2
    x = layer(
        "AqeConv2D",
        x,
        32,
        3,
        kernel(channels, 3, 3, 3),
        (1, size, size, channels),
        window("VALID"),
    )
    size //= 2
    x = layer(
        "AqeConv2D",
        x,
        input_bits,
        channels,
        kernel(channels, 3, 3, channels),
        (1, size, size, channels),
        window("SAME") | pool_options((2, 2), (2, 2), "VALID"),
    )
    x = layer(
        "AqeFullyConnected",
        x,
        input_bits,
        channels,
        kernel(100, size * size * channels),
        (1, 100),
        {},
    )
    x = layer(
        "AqeFullyConnected", x, input_bits, 100, kernel(10, 100), (1, 10), {}
    )
    return file, image, x
