# %% [markdown]
# # A float MobileNetV2 to 2 bits
#
# `aqe.quantize_model` makes a float network its quantized twin, with the same
# layers, names and weights. Trained on for as many epochs it becomes a file
# that is several times smaller.

# %%
import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_aqe as aqe
from keras_aqe import converters

# %% tags=["parameters"]
FLOAT_EPOCHS = 12
EPOCHS = 12
WIDTH = 0.5

# %% [markdown]
# ## A float network
#
# Here it is trained on digits, enlarged to 32x32, so that nothing has to be
# downloaded. With `weights="imagenet"` and your own head and images the rest is
# the same.

# %%
digits = load_digits()
x = digits.images.repeat(4, axis=1).repeat(4, axis=2)[..., None] / 8 - 1
x, x_test, y, y_test = train_test_split(
    x, digits.target, test_size=0.2, random_state=0
)
float_model = keras.applications.MobileNetV2(
    input_shape=(32, 32, 1),
    alpha=WIDTH,
    weights=None,
    classes=10,
    classifier_activation=None,
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
float_model.compile(
    keras.optimizers.Adam(0.003), loss, metrics=["accuracy"], jit_compile=False
)
float_history = float_model.fit(
    x,
    y,
    validation_data=(x_test, y_test),
    epochs=FLOAT_EPOCHS,
    verbose=2,
)

# %% [markdown]
# Batch normalisation of `keras.applications` has a momentum of 0.999, so after
# a short training its statistics are still those of the start.

# %%
aqe.recalibrate(float_model, x, batch_size=256)
loss_and_accuracy = float_model.evaluate(x_test, y_test, verbose=2)

# %% [markdown]
# ## Its twin of 2 bits
#
# First and last layer stay float, depthwise layers have inputs of 8 bits and
# kernels of 4: they add up nine products only. Some images tell how wide the
# inputs of the layers are.

# %%
model = aqe.quantize_model(
    float_model, input_bits=2, weight_bits=2, data=x[:200]
)
model.quantization_report

# %% [markdown]
# ## Training on
#
# Alpha rises to 1 in the first third, and the hard network trains for the rest.
# Where batch normalisation is slow, its statistics are measured at the end.

# %%
learning_rate = keras.optimizers.schedules.CosineDecay(
    2e-3, EPOCHS * -(-len(x) // 32)
)
model.compile(
    keras.optimizers.Adam(learning_rate),
    loss,
    metrics=["accuracy"],
    jit_compile=False,
)
schedule = aqe.schedules.Linear(start=0.1, until=0.3)
history = model.fit(
    x,
    y,
    validation_data=(x_test, y_test),
    epochs=EPOCHS,
    callbacks=[aqe.callbacks.AlphaScheduler(schedule)],
    verbose=2,
)
aqe.recalibrate(model, x, batch_size=256)
model.evaluate(x_test, y_test, verbose=2)
figure = aqe.plots.training_curves(
    {"float": float_history, "2 bits": history}, ["accuracy", "val_accuracy"]
)

# %% [markdown]
# ## Files

# %%
converted = converters.convert(model)
converted.save("mobilenet_v2.tflite")
converted

# %%
print(converters.verify(model, converted, x_test[:100]))
float_file = converters.convert(float_model, target="tflite")
ratio = len(float_file.flatbuffer) / len(converted.flatbuffer)
print(f"The file is {ratio:.1f} times smaller than the float network's.")
