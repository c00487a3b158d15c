"""What every quantizer has in common."""

import keras
import tensorflow as tf

from keras_aqe import estimators


class Quantizer(keras.layers.Layer):
    """Base class: a hard quantizer `h` and the estimator that trains it.

    With `training=True` the layer returns the estimator's output (for AQE the
    blend `alpha * h(x) + (1 - alpha) * x`) and has the estimator's gradient;
    otherwise it returns `h(x)` exactly, whatever `alpha` is
    (Chen et al., 2020, Eq. 18 to 20).

    A subclass gives `bits`, `levels`, `unit`, `codes` and `hard`, and
    `_stochastic_hard` where it has a stochastic form.

    Args:
        estimator: `"aqe"` or `"ste"`.
        stochastic: Whether training replaces `h(x)` by its stochastic form,
            which for the sign is `sign(x - z)` with `z ~ U[-1, 1]`
            (Chen et al., 2020, Eq. 7). Inference stays deterministic.
        seed: Integer seed of the stochastic form.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Attributes:
        bits: Width of a code.
        levels: The values that `h` can take, ascending, a NumPy array.
        unit: The smallest magnitude above 0; `h(x) = codes(x) * unit`.
        alpha: The schedule variable, a non-trainable float32 scalar in (0, 1].
            It starts at 1/2, is set by `keras_aqe.callbacks.AlphaScheduler`
            and is saved with the model.
        trained_alpha: Alpha at the last training step, 0 before the first: a
            non-trainable float32 scalar that tells what the model's weights
            and batch normalisation were fitted to. It is the quantizer's only
            entry in `weights`, so it goes where `set_weights` takes them.
        estimate: The estimator as a function of inputs, `hard` and `alpha`.
        is_soft: Whether that last step saw blended values, so that the hard
            network is not the one that was trained.
    """

    def __init__(self, estimator="aqe", stochastic=False, seed=None, **kwargs):
        # Levels are exact in every float type, so nothing is cast: a kernel
        # stays float32 under mixed precision until it is quantized.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.supports_masking = True
        self.estimate = estimators.get(estimator)
        self.estimator = estimator
        self.stochastic = bool(stochastic)
        self.seed = seed
        if self.stochastic:
            self._noise_seed = keras.random.SeedGenerator(seed)
        self.alpha = self.add_weight(
            name="alpha",
            shape=(),
            initializer=keras.initializers.Constant(0.5),
            trainable=False,
            dtype="float32",
            autocast=False,
            aggregation="only_first_replica",
        )
        self.trained_alpha = self.add_weight(
            name="trained_alpha",
            shape=(),
            initializer="zeros",
            trainable=False,
            dtype="float32",
            autocast=False,
        )

    @property
    def weights(self):
        return [self.trained_alpha]

    @property
    def is_soft(self):
        trained = float(keras.ops.convert_to_numpy(self.trained_alpha))
        return self.estimator == "aqe" and 0 < trained < 1

    def hard(self, x):
        """The hard quantizer `h(x)`; same shape and dtype as `x`."""
        raise NotImplementedError

    def codes(self, x):
        """The integers `h(x) / unit`; same shape as `x`."""
        raise NotImplementedError

    def call(self, inputs, training=None):
        if not training:
            return self.hard(inputs)
        self.trained_alpha.assign(self.alpha)
        return self.blend(inputs)

    def blend(self, inputs):
        """What a training step computes, without being one.

        Args:
            inputs: Float tensor of any shape.

        Returns:
            The estimator's output, of the shape and dtype of `inputs`, with
            its gradient.
        """
        if not self.stochastic:
            return self.estimate(inputs, self.hard, self.alpha)
        # Drawn here, since the estimator compiles what it is given.
        hard = self._stochastic_hard(inputs)
        return self.estimate(inputs, lambda x: hard, self.alpha)

    def compute_output_shape(self, input_shape):
        return input_shape

    def adopt(self, role):
        """Tells the quantizer what it quantizes: "input" or "kernel".

        Called by the layer that takes the quantizer as an argument.
        """

    def _uniform(self, x, low, high):
        return keras.random.uniform(
            tf.shape(x), low, high, dtype=x.dtype, seed=self._noise_seed
        )

    def load_own_variables(self, store):
        if not store.keys():
            raise ValueError(
                f"The file has no variables of quantizer {self.name!r}: its "
                "model shared one quantizer among several layers. Build this "
                "model with the same quantizer shared; `clone_model` and "
                "`from_config` make one for each layer."
            )
        super().load_own_variables(_with_trained_alpha(store))

    def get_config(self):
        return {
            **super().get_config(),
            "estimator": self.estimator,
            "stochastic": self.stochastic,
            "seed": self.seed,
        }


def _with_trained_alpha(store):
    """Files of version 0.1.0 have alpha alone: that of their last step."""
    if len(store.keys()) > 1:
        return store
    return {"0": store["0"], "1": store["0"]}
