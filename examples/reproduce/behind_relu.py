"""Signed against unsigned quantizers behind a ReLU.

A small convolutional network learns scikit-learn's scanned digits (16x16) with
each of three activations: a ReLU and signed quantizers, which never use half
of their levels, a ReLU and unsigned ones, and the paper's hard tanh and signed
ones. Hard test accuracy, three seeds and their mean:

```shell
python -m examples.reproduce.behind_relu
```
"""

import keras
import numpy as np

import keras_aqe as aqe
from examples.reproduce.on_digits import fit, print_row, use_one_thread
from keras_aqe import datasets

# Activations, and whether the quantizers behind them have a sign.
FORMS = {
    "ReLU, signed": (keras.layers.ReLU, True),
    "ReLU, unsigned": (keras.layers.ReLU, False),
    "hard tanh, signed": (aqe.layers.HardTanh, True),
}
WIDTHS = (1, 2, 3)
SEEDS = (0, 1, 2)


def network(bits, form, filters=8):
    """Four convolutions and a dense layer, all of `bits` bits."""
    activation, signed = FORMS[form]
    x = image = keras.Input((16, 16, 1))
    for index, width in enumerate((1, 1, 2, 2)):
        quantizer = None
        if index:
            quantizer = aqe.quantizers.of_width(bits, signed=signed)
        x = aqe.layers.QuantConv2D(
            width * filters,
            3,
            padding="same",
            use_bias=False,
            input_quantizer=quantizer,
            kernel_quantizer=aqe.quantizers.of_width(bits),
        )(x)
        if index % 2:
            x = keras.layers.MaxPooling2D()(x)
        x = activation()(keras.layers.BatchNormalization()(x))
    x = aqe.layers.QuantDense(
        10,
        use_bias=False,
        input_quantizer=aqe.quantizers.of_width(bits, signed=signed),
        kernel_quantizer=aqe.quantizers.of_width(bits),
    )(keras.layers.Flatten()(x))
    return keras.Model(image, keras.layers.BatchNormalization()(x))


def run(bits, form, seed, epochs=12, batch_size=32):
    """Trains and returns the hard network's test accuracy."""
    (x, y), (x_test, y_test) = datasets.digits(size=16)
    keras.utils.set_random_seed(seed)
    model = network(bits, form)
    scheduler = aqe.callbacks.AlphaScheduler()
    fit(model, x, y, epochs, batch_size, [scheduler])
    return model.evaluate(x_test, y_test, verbose=0)[1]


def main():
    use_one_thread()
    seeds = [f"seed {seed}" for seed in SEEDS]
    print_row(["bits", "activation", *seeds, "mean"])
    print("|---" * (3 + len(seeds)) + "|")
    for bits in WIDTHS:
        for form in FORMS:
            found = [run(bits, form, seed) for seed in SEEDS]
            found = [f"{accuracy:.3f}" for accuracy in [*found, np.mean(found)]]
            print_row([f"{bits}/{bits}", form, *found])


if __name__ == "__main__":
    main()
