"""Runs `examples.reproduce` on made-up images in place of CIFAR.

Run by tests as a process of its own, for what needs several processes.
"""

import sys

import numpy as np

from examples import train_cifar10
from examples.reproduce import __main__


def load(data_dir=None, train_images=96, dataset="cifar10"):
    classes = {"cifar10": 10, "cifar100": 100}[dataset]

    def images(count, seed):
        rng = np.random.default_rng(seed)
        return (
            rng.integers(0, 256, (count, 32, 32, 3), "uint8"),
            rng.integers(0, classes, count),
        )

    return images(train_images, 1), images(32, 2), images(32, 3)


if __name__ == "__main__":
    train_cifar10.load_cifar10 = load
    __main__.main(sys.argv[1:])
