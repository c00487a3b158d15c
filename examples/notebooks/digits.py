# %% [markdown]
# # Digits, from training to a file
#
# A network of 2 bits for the handwritten digits that scikit-learn brings along:
# trained, converted, verified, run.

# %%
import keras
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_aqe as aqe
from keras_aqe import converters

# %% tags=["parameters"]
EPOCHS = 12
BITS = 2

# %% [markdown]
# ## Data
#
# 1,797 scans of 8x8 pixels from 0 to 16, enlarged to 16x16.

# %%
digits = load_digits()
x = digits.images.repeat(2, axis=1).repeat(2, axis=2)[..., None].astype("uint8")
x, x_test, y, y_test = train_test_split(
    x, digits.target, test_size=0.2, random_state=0
)
figure, axes = plt.subplots(1, 8, figsize=(8, 1.2))
for axis, image, label in zip(axes, x, y):
    axis.imshow(image[..., 0], cmap="gray")
    axis.set_title(label)
    axis.axis("off")

# %% [markdown]
# ## Network
#
# Rescaling is in the model, so that the file takes the images as they are. By a
# power of two its sums are exact on every processor.

# %%
image = keras.Input((16, 16, 1), dtype="uint8")
network = aqe.models.MINWNet(
    input_bits=BITS,
    weight_bits=BITS,
    input_shape=(16, 16, 1),
    filters=16,
    dense_units=64,
)
logits = network(keras.layers.Rescaling(1 / 8, offset=-1)(image))
model = keras.Model(image, logits)
summary = aqe.summary(network)

# %% [markdown]
# ## Training
#
# `AlphaScheduler` takes the network from nearly float to hard. `val_accuracy`
# is that of the hard network: poor while alpha is low, and good at the end.

# %%
model.compile(
    keras.optimizers.Adam(0.005),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    jit_compile=False,  # XLA's convolutions are slow on a CPU
)
history = model.fit(
    x,
    y,
    validation_data=(x_test, y_test),
    epochs=EPOCHS,
    callbacks=[aqe.callbacks.AlphaScheduler()],
    verbose=2,
)
figure = aqe.plots.training_curves(
    {f"{BITS} bits": history}, ["accuracy", "val_accuracy", "alpha"]
)

# %% [markdown]
# ## File
#
# The report has a line for each layer; `verify` compares Keras with the file.

# %%
converted = converters.convert(model)
print(converted.report)
print(converters.verify(model, converted, x_test))
converted.save("digits.tflite")

# %% [markdown]
# The file runs without Keras:

# %%
interpreter = converters.Interpreter("digits.tflite")
predictions = interpreter.predict(x_test).argmax(axis=-1)
print(f"accuracy of the file: {(predictions == y_test).mean():.4f}")
