"""`examples.reproduce` on made-up images, and on a network of one layer.

As a script, with a folder of configurations and then the arguments of
`examples.reproduce`, it is a process for tests that need several.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import keras_aqe as aqe
from examples.reproduce import __main__, runs
from keras_aqe import datasets


def load_cifar10(data_dir=None, train_images=96, dataset="cifar10"):
    """Stands in for the function of that name in `keras_aqe.datasets`."""
    classes = {"cifar10": 10, "cifar100": 100}[dataset]

    def images(count, seed):
        rng = np.random.default_rng(seed)
        return (
            rng.integers(0, 256, (count, 32, 32, 3), "uint8"),
            rng.integers(0, classes, count),
        )

    return images(train_images, 1), images(32, 2), images(32, 3)


def Small(input_bits, weight_bits, input_shape, classes, estimator, **kwargs):
    """A network that is quick to build, with quantizers and statistics."""
    del input_bits, kwargs
    quantizer = aqe.quantizers.of_width(weight_bits, estimator=estimator)
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.AveragePooling2D(8),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            aqe.layers.QuantDense(16, kernel_quantizer=quantizer),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(classes),
        ]
    )


def main(configs, argv, set_attribute=setattr):
    """Runs the command with the configurations of a folder.

    `set_attribute` puts the stand-ins in place: `setattr` does in a process
    of its own, in a test something that takes them away again.
    """
    set_attribute(aqe.models, "Small", Small)
    set_attribute(datasets, "load_cifar10", load_cifar10)
    set_attribute(runs, "CONFIGS", configs)
    set_attribute(runs, "NAMES", [path.stem for path in configs.glob("*.toml")])
    __main__.main(argv)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
