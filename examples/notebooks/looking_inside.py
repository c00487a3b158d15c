# %% [markdown]
# # Looking inside
#
# What training does to kernels and activations: blends that gather around the
# levels, weights that change their codes, thresholds that follow a kernel.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import keras_aqe as aqe

digits = load_digits()
x = digits.images.repeat(2, axis=1).repeat(2, axis=2)[..., None] / 8 - 1
y = digits.target

# %% tags=["parameters"]
EPOCHS = 12

# %% [markdown]
# ## Quantizers
#
# What a quantizer returns in training, and its gradient, as alpha rises.

# %%
for name in ("binary", "ternary", "po2_3"):
    quantizer = aqe.quantizers.get(name)
    figure = aqe.plots.quantizer_curves(quantizer, title=name)

# %% [markdown]
# ## Training, watched
#
# `BlendHistory` keeps a kernel and activations at chosen epochs;
# `KernelMetrics` logs how many codes changed and how far the blend is from
# hard.

# %%
model = aqe.models.MINWNet(
    input_bits=2,
    weight_bits=3,
    input_shape=(16, 16, 1),
    filters=8,
    dense_units=32,
)
model.compile(
    keras.optimizers.Adam(0.005),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    jit_compile=False,
)
blends = aqe.callbacks.BlendHistory(
    kernel="conv3",
    activation="conv3_quant",
    x=x[:100],
    epochs=np.unique(np.linspace(1, EPOCHS, 4).astype(int)).tolist(),
)
history = model.fit(
    x,
    y,
    epochs=EPOCHS,
    callbacks=[
        aqe.callbacks.AlphaScheduler(),
        aqe.callbacks.KernelMetrics(),
        blends,
    ],
    verbose=2,
)

# %%
figure = aqe.plots.training_curves(
    {"2/3 bits": history}, ["accuracy", "flip_ratio", "quantization_gap"]
)

# %% [markdown]
# ## Blends
#
# Weights of 3 bits gather around 0, ±1/4, ±1/2 and ±1, activations of 2 bits
# around -1, 0 and 1.

# %%
figure = aqe.plots.blend_histograms(
    blends.kernels, blends.alphas, "conv3, weights"
)
figure = aqe.plots.blend_histograms(
    blends.activations, blends.alphas, "conv3, activations"
)

# %% [markdown]
# ## Kernels
#
# The latent kernel is what training moves; its levels are what the file holds.
# Thresholds are in units of the mean magnitude.

# %%
layer = model.get_layer("conv3")
latent = keras.ops.convert_to_numpy(layer.kernel)
levels = keras.ops.convert_to_numpy(layer.kernel_quantizer.hard(latent))
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
axes[0].hist(latent.ravel(), 100)
mean = np.abs(latent).mean()
for threshold in 2.5 * mean * np.array([1 / 8, 3 / 8, 3 / 4]):
    axes[0].axvline(threshold, color="black", linewidth=0.8)
    axes[0].axvline(-threshold, color="black", linewidth=0.8)
axes[0].set_title("latent weights and thresholds")
values, counts = np.unique(levels, return_counts=True)
axes[1].bar(range(len(values)), counts, tick_label=values)
axes[1].set_title("weights at each level")

# %%
figure, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for index, (above, below) in enumerate(axes.T):
    above.imshow(latent[:, :, 0, index], cmap="RdBu", vmin=-mean, vmax=mean)
    below.imshow(levels[:, :, 0, index], cmap="RdBu", vmin=-1, vmax=1)
    above.axis("off")
    below.axis("off")
axes[0, 0].set_title("latent", fontsize="small")
axes[1, 0].set_title("hard", fontsize="small")
