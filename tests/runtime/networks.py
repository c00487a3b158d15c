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
    network = _Network(input_bits, weight_bits, np.random.default_rng(seed))
    image = network.file.tensor((1, size, size, 3), np.float32)
    window = [
        window_options((3, 3), (1, 1), (1, 1), padding)
        for padding in ("VALID", "SAME")
    ]
    size -= 2
    x = network.layer(
        "AqeConv2D",
        image,
        32,
        (channels, 3, 3, 3),
        (1, size, size, channels),
        window[0],
    )
    size //= 2
    x = network.layer(
        "AqeConv2D",
        x,
        input_bits,
        (channels, 3, 3, channels),
        (1, size, size, channels),
        window[1] | pool_options((2, 2), (2, 2), "VALID"),
    )
    x = network.layer(
        "AqeFullyConnected",
        x,
        input_bits,
        (100, size * size * channels),
        (1, 100),
        {"input_channels": channels},
    )
    x = network.layer("AqeFullyConnected", x, input_bits, (10, 100), (1, 10))
    return network.file, image, x


class _Network:
    """A file to which layers of random constants are added."""

    def __init__(self, input_bits, weight_bits, rng):
        self.file = PackedFile()
        self._input_bits, self._weight_bits = input_bits, weight_bits
        self._rng = rng

    def layer(self, name, x, in_bits, kernel_shape, out_shape, options=()):
        """Adds an operator; the number of its output, floats if of 10."""
        weights = self._rng.choice(LEVELS[self._weight_bits], kernel_shape)
        outputs = kernel_shape[0]
        spread = np.sqrt(weights[0].size) * max(LEVELS[self._weight_bits])
        if in_bits != 32:
            spread *= max(LEVELS[in_bits])
        if name == "AqeFullyConnected" and outputs == 10:
            out_bits, dtype = 32, np.float32
            constants = [
                np.full(outputs, 1 / spread, np.float32),
                np.zeros(outputs, np.float32),
            ]
        else:
            out_bits = self._input_bits
            dtype = np.int8 if out_bits == 8 else np.int64
            out_shape = activation_shape(out_shape, out_bits)
            constants = self._thresholds(
                outputs, spread, np.float32 if in_bits == 32 else np.int32
            )
        constants.insert(0, pack_weights(weights, self._weight_bits))
        target = self.file.tensor(out_shape, dtype)
        self.file.operator(
            name,
            [x, *map(self.file.constant, constants)],
            [target],
            {
                "format": 1,
                "input_channels": kernel_shape[-1],
                "input_bits": in_bits,
                "weight_bits": self._weight_bits,
                "output_bits": out_bits,
                "output_channels": outputs,
                **dict(options),
            },
        )
        return target

    def _thresholds(self, count, spread, dtype):
        levels = len(LEVELS[self._input_bits]) - 1
        values = self._rng.uniform(-spread, spread, (levels, count))
        direction = self._rng.choice([-1, 1], count).astype(np.int8)
        return [np.sort(values, axis=0).astype(dtype), direction]
