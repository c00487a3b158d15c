"""One run of training, which ends alike under every backend.

Run as `python -m tests.keras_aqe.backend.training FOLDER` it trains the
network that `make` left in a folder, and leaves what came of it there.
"""

import pathlib
import sys

import keras
import numpy as np

import keras_aqe as aqe

STEPS = 50
BATCH = 8


def make(folder, seed=0):
    """Writes a network of several widths, and images and labels for it."""
    keras.utils.set_random_seed(seed)
    layers = aqe.layers
    # A bias before batch normalisation has a gradient of rounding alone,
    # which Adam would make as large as any other.
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.QuantConv2D(4, 3, kernel_quantizer="binary", use_bias=False),
            keras.layers.BatchNormalization(),
            layers.HardTanh(),
            layers.QuantConv2D(
                8,
                3,
                padding="same",
                pad_value=1.0,
                input_quantizer="binary",
                kernel_quantizer="ternary",
                use_bias=False,
            ),
            keras.layers.MaxPooling2D(2),
            keras.layers.BatchNormalization(),
            layers.HardTanh(),
            layers.QuantActivation("po2_3"),
            keras.layers.Flatten(),
            layers.QuantDense(16, kernel_quantizer="po2_3", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            layers.QuantDense(
                16,
                input_quantizer="unsigned_2",
                kernel_quantizer="ternary",
                use_bias=False,
            ),
            keras.layers.BatchNormalization(),
            layers.HardTanh(),
            layers.QuantDense(
                10, input_quantizer="ternary", kernel_quantizer="po2_4"
            ),
        ]
    )
    model.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.optimizer.build(model.trainable_variables)
    model.save(folder / "start.keras")
    rng = np.random.default_rng(seed)
    np.savez(
        folder / "data.npz",
        x=rng.normal(size=(STEPS * BATCH // 5, 6, 6, 3)).astype("float32"),
        y=rng.integers(0, 10, STEPS * BATCH // 5),
    )


def train(folder, name):
    """Trains the network of a folder, and writes `name`.keras and .npz."""
    model = keras.models.load_model(folder / "start.keras")
    # It was saved as TensorFlow compiles it; JAX compiles each step by default.
    model.jit_compile = keras.backend.backend() == "jax"
    data = np.load(folder / "data.npz")
    losses = []
    steps = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(logs["loss"])
    )
    history = model.fit(
        data["x"],
        data["y"],
        batch_size=BATCH,
        epochs=5,
        shuffle=False,
        verbose=0,
        callbacks=[
            aqe.callbacks.AlphaScheduler(),
            aqe.callbacks.KernelMetrics(),
            steps,
        ],
    )
    model.save(folder / f"{name}.keras")
    results = {"logits": model.predict(data["x"], verbose=0)}
    results["codes"] = kernel_codes(model)
    aqe.recalibrate(model, data["x"], batch_size=20)
    results["statistics"] = np.concatenate(
        [
            keras.ops.convert_to_numpy(value)
            for layer in model.layers
            if isinstance(layer, keras.layers.BatchNormalization)
            for value in (layer.moving_mean, layer.moving_variance)
        ]
    )
    history = history.history
    np.savez(folder / f"{name}.npz", losses=losses, **results, **history)


def kernel_codes(model):
    """The codes of all quantized kernels, one after the other."""
    return np.concatenate(
        [
            keras.ops.convert_to_numpy(quantizer.codes(kernel)).ravel()
            for kernel, quantizer in aqe.metrics.quantized_kernels(model)
        ]
    )


if __name__ == "__main__":
    train(pathlib.Path(sys.argv[1]), keras.backend.backend())
