"""Callbacks for `model.fit`."""

import keras

from keras_aqe import metrics as metrics_
from keras_aqe import schedules
from keras_aqe.alpha import find


class AlphaScheduler(keras.callbacks.Callback):
    """Sets the `alpha` of all quantizers of the model before each batch.

    Progress is `optimizer.iterations / total_steps`, so a run that resumes
    from a checkpoint goes on where it was, and `steps_per_execution` does not
    stretch the schedule (alpha is then constant within one execution). Alpha
    is written into the logs as `alpha`.

    Args:
        schedule: A `keras_aqe.schedules.Schedule` or any callable from
            progress in [0, 1] to alpha in (0, 1]. `None` means
            `Linear(0.1, 1.0, until=0.85)`, which measured best.
        total_steps: Optimizer steps at which progress is 1. `None` means
            `epochs * steps per epoch` of the call to `fit`.

    Raises:
        ValueError: If the model has no quantizer, if the number of steps is
            not known (an endless dataset), or if the schedule leaves (0, 1].

    Example:

    ```python
    model.fit(x, y, epochs=10, callbacks=[aqe.callbacks.AlphaScheduler()])
    ```
    """

    def __init__(self, schedule=None, total_steps=None):
        super().__init__()
        if schedule is None:
            schedule = schedules.Linear(start=0.1)
        self.schedule = schedule
        if not callable(self.schedule):
            raise ValueError(
                "`schedule` must be a callable from progress in [0, 1] to "
                f"alpha in (0, 1]. Received: schedule={schedule!r}"
            )
        if total_steps is not None and total_steps < 1:
            raise ValueError(
                "`total_steps` must be at least 1. "
                f"Received: total_steps={total_steps}"
            )
        self.total_steps = total_steps

    def on_train_begin(self, logs=None):
        self._alphas = [quantizer.alpha for quantizer in find(self.model)]
        if not self._alphas:
            raise ValueError(
                f"Model {self.model.name!r} has no quantizer whose alpha "
                "`AlphaScheduler` could set. Leave the callback out, or give "
                "the layers quantizers."
            )
        self._steps = self.total_steps
        if self._steps is None and self.params.get("steps") is not None:
            self._steps = self.params["epochs"] * self.params["steps"]
        self._update()

    def on_train_batch_begin(self, batch, logs=None):
        self._update()

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["alpha"] = self._alpha

    def _update(self):
        if self._steps is None:
            raise ValueError(
                "The number of steps per epoch is not known, so neither is "
                "the progress. Pass `total_steps=` to `AlphaScheduler` or "
                "`steps_per_epoch=` to `fit`."
            )
        # int() of a variable fails where a strategy mirrors it.
        done = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        progress = min(done / self._steps, 1.0)
        self._alpha = schedules.check_alpha(self.schedule(progress), "alpha")
        for alpha in self._alphas:
            alpha.assign(self._alpha)


class KernelMetrics(keras.callbacks.Callback):
    """Logs metrics of the model's quantized kernels, once an epoch.

    The results appear in the logs, and so in `History`, TensorBoard and the
    like, under the metrics' names; put this callback before others that read
    the logs.

    Args:
        metrics: Metrics whose `update_state` takes the model. `None` means
            `keras_aqe.metrics.FlipRatio()` and
            `keras_aqe.metrics.QuantizationGap()`.
        update_freq: `"epoch"` updates them at the end of each epoch, so that
            the flip ratio compares epochs; `"batch"` after each batch
            (with `steps_per_execution`, after each execution), which reads
            all kernels each time.

    Raises:
        ValueError: If `update_freq` is neither, or if the model has no
            quantized kernel.

    Example:

    ```python
    history = model.fit(x, y, callbacks=[aqe.callbacks.KernelMetrics()])
    history.history["flip_ratio"]
    ```
    """

    def __init__(self, metrics=None, update_freq="epoch"):
        super().__init__()
        if update_freq not in ("epoch", "batch"):
            raise ValueError(
                "`update_freq` must be 'epoch' or 'batch'. "
                f"Received: update_freq={update_freq!r}"
            )
        if metrics is None:
            metrics = [metrics_.FlipRatio(), metrics_.QuantizationGap()]
        self.metrics = list(metrics)
        self.update_freq = update_freq

    def on_train_begin(self, logs=None):
        # What the first epoch is compared with.
        self._update()

    def on_epoch_begin(self, epoch, logs=None):
        for metric in self.metrics:
            metric.reset_state()

    def on_train_batch_end(self, batch, logs=None):
        if self.update_freq == "batch":
            self._update()

    def on_epoch_end(self, epoch, logs=None):
        if self.update_freq == "epoch":
            self._update()
        if logs is not None:
            logs.update({m.name: float(m.result()) for m in self.metrics})

    def _update(self):
        for metric in self.metrics:
            metric.update_state(self.model)


class BlendHistory(keras.callbacks.Callback):
    """Keeps a layer's blended kernel and activations at chosen epochs.

    These are the values that training computes with,
    `alpha * h(x) + (1 - alpha) * x`, whose histograms are Figures 1 to 4 of
    Chen et al., 2020; `keras_aqe.plots.blend_histograms` draws them. The
    network runs as in training (batch normalisation by the batch) and is left
    as it was.

    Args:
        kernel: Name of a layer with a quantized kernel, or `None`.
        activation: Name of a `QuantActivation` layer of the model itself
            (not of a nested one), or `None`.
        x: Inputs that the activations are computed for, one batch; needed
            with `activation`.
        epochs: Epochs after which values are kept, counted from 1. `None`
            means all.

    Attributes:
        kernels: `{epoch: array}`, the blended kernels.
        activations: `{epoch: array}`, the blended activations.
        alphas: `{epoch: alpha}`.

    Raises:
        ValueError: If a layer is not there or has no such quantizer.

    Example:

    ```python
    blends = aqe.callbacks.BlendHistory(
        "conv2", "conv2_quant", x[:100], epochs=(5, 25, 55)
    )
    model.fit(x, y, epochs=55, callbacks=[scheduler, blends])
    aqe.plots.blend_histograms(blends.kernels, blends.alphas)
    ```
    """

    def __init__(self, kernel=None, activation=None, x=None, epochs=None):
        super().__init__()
        if (activation is None) != (x is None):
            raise ValueError(
                "`activation` and `x` go together: the activations are those "
                "of the layer for the inputs `x`. Give both or none."
            )
        self.kernel = kernel
        self.activation = activation
        self.x = x
        self.epochs = epochs
        self.kernels, self.activations, self.alphas = {}, {}, {}

    def on_train_begin(self, logs=None):
        if self.kernel is not None:
            self._layer(self.kernel, "kernel_quantizer")
        if self.activation is not None:
            layer = self._layer(self.activation, "quantizer")
            model = self.model
            # A Sequential model has one input and no `input`.
            sequential = isinstance(model, keras.Sequential)
            inputs = model.inputs[0] if sequential else model.input
            self._before = keras.Model(inputs, layer.input)

    def on_epoch_end(self, epoch, logs=None):
        epoch += 1
        if self.epochs is not None and epoch not in self.epochs:
            return
        if self.kernel is not None:
            layer = self._layer(self.kernel, "kernel_quantizer")
            self._keep(
                self.kernels, epoch, layer.kernel_quantizer, layer.kernel
            )
        if self.activation is not None:
            layer = self._layer(self.activation, "quantizer")
            values = self._run_as_in_training()
            self._keep(self.activations, epoch, layer.quantizer, values)

    def _layer(self, name, attribute):
        layer = self.model.get_layer(name)
        if getattr(layer, attribute, None) is None:
            raise ValueError(
                f"Layer {name!r} has no `{attribute}`, so it has no blended "
                "values to keep. Name a layer that has one."
            )
        return layer

    def _run_as_in_training(self):
        variables = self._before.non_trainable_variables
        state = [keras.ops.convert_to_numpy(v) for v in variables]
        values = self._before(self.x, training=True)
        for variable, value in zip(variables, state):
            variable.assign(value)
        return values

    def _keep(self, record, epoch, quantizer, values):
        values = keras.ops.convert_to_tensor(values)
        blend = quantizer.blend(values)
        record[epoch] = keras.ops.convert_to_numpy(blend)
        self.alphas[epoch] = float(keras.ops.convert_to_numpy(quantizer.alpha))
