"""What every quantizer has in common."""

import math
from typing import Any

import keras
import numpy as np

from keras_aqe import estimators
from keras_aqe.backend import Tensor


class Quantizer(keras.layers.Layer):
    """Base class: a hard quantizer `h` and the estimator that trains it.

    With `training=True` the layer returns the estimator's output (for AQE the
    blend `alpha * h(x) + (1 - alpha) * x`) and has the estimator's gradient;
    otherwise it returns `h(x)` exactly, whatever `alpha` is
    (Chen et al., 2020, Eq. 18 to 20).

    A subclass gives `bits`, `levels`, `unit`, `codes` and `hard`, and
    `_stochastic_hard` where it has a stochastic form. They are those of
    `scale`: where `h_1` is the quantizer of scale 1, `h(x) = scale *
    h_1(x / scale)`.

    Args:
        estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
        stochastic: Whether training replaces `h(x)` by its stochastic form,
            which for the sign is `sign(x - z)` with `z ~ U[-1, 1]`
            (Chen et al., 2020, Eq. 7). Inference stays deterministic.
        seed: Integer seed of the stochastic form.
        scale: A power of two that brings the levels to the range of `x`, such
            as that of a trained float network
            (`keras_aqe.quantize_model`). Sums of scaled levels stay as exact
            as those of whole numbers.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Attributes:
        bits: Width of a code.
        levels: The values that `h` can take, ascending, a NumPy array.
        unit: The smallest magnitude above 0; `h(x) = codes(x) * unit`.
        limits: The least and the greatest `x` that the gradient passes, in
            the paper ±1, times `scale`.
        alpha: The schedule variable, a non-trainable float32 scalar in (0, 1].
            It starts at 1/2, is set by `keras_aqe.callbacks.AlphaScheduler`
            and is saved with the model.
        trained_alpha: Alpha at the last training step, 0 before the first: a
            non-trainable float32 scalar that tells what the model's weights
            and batch normalisation were fitted to. It is the quantizer's only
            entry in `weights`, so it goes where `set_weights` takes them.
        estimate: The estimator as a function of inputs, `hard`, `alpha` and
            `limits`.
        is_soft: Whether that last step saw blended values, so that the hard
            network is not the one that was trained.

    Example:

    ```pycon
    >>> class Sign(Quantizer):
    ...     bits, unit, levels = 1, 1.0, np.array([-1.0, 1.0], "float32")
    ...     def codes(self, x):
    ...         return keras.ops.where(x >= 0, 1, -1)
    ...     def hard(self, x):
    ...         return keras.ops.cast(self.codes(x), x.dtype)
    >>> y = Sign()(np.array([-0.5, 0.5], "float32"))
    >>> keras.ops.convert_to_numpy(y)
    array([-1.,  1.], dtype=float32)

    ```
    """

    bits: int
    unit: float
    levels: np.ndarray
    _place: tuple[str, str] | None = None

    def __init__(
        self,
        estimator: str = "aqe",
        stochastic: bool = False,
        seed: int | None = None,
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        # Levels are exact in every float type, so nothing is cast: a kernel
        # stays float32 under mixed precision until it is quantized.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.supports_masking = True
        self.scale = self._check_scale(scale)
        low, high = estimators.LIMITS
        self.limits = (low * self.scale, high * self.scale)
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

    def _check_scale(self, scale):
        scale = float(scale)
        # Beyond that, products of scaled levels would leave float32's range.
        usual = 2.0**-32 <= scale <= 2.0**32
        if not usual or not math.log2(scale).is_integer():
            raise ValueError(
                "`scale` must be a power of two from 2^-32 to 2^32, so that "
                f"sums of levels are exact. Received: scale={scale} in "
                f"quantizer {self.name!r}"
            )
        return scale

    @property
    def weights(self) -> list[keras.Variable]:
        return [self.trained_alpha]

    @property
    def is_soft(self) -> bool:
        """Whether the last training step saw blended values."""
        trained = float(keras.ops.convert_to_numpy(self.trained_alpha))
        return self.estimator != "ste" and 0 < trained < 1

    def hard(self, x: Any) -> Tensor:
        """The hard quantizer `h(x)`.

        Args:
            x: Float tensor of any shape, or what makes one.

        Returns:
            A tensor of the shape and dtype of `x`, of values in `levels`.
        """
        raise NotImplementedError

    def codes(self, x: Any) -> Tensor:
        """The integers `h(x) / unit`.

        Args:
            x: Float tensor of any shape, or what makes one.

        Returns:
            An integer tensor of the shape of `x`.
        """
        raise NotImplementedError

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        if not training:
            return self.hard(inputs)
        self.trained_alpha.assign(self.alpha)
        return self.blend(inputs)

    def blend(self, inputs: Tensor) -> Tensor:
        """What a training step computes, without being one.

        Args:
            inputs: Float tensor of any shape.

        Returns:
            The estimator's output, of the shape and dtype of `inputs`, with
            its gradient.
        """
        hard = self.hard
        if self.stochastic:
            # Drawn here, since the estimator compiles what it is given.
            drawn = self._stochastic_hard(inputs)

            def hard(x):
                return drawn

        return self.estimate(inputs, hard, self.alpha, self.limits)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    @property
    def place(self) -> str:
        """Where the quantizer is, in the words of messages.

        The first layer that took it and the argument, where one did.
        """
        if self._place is None:
            return f"quantizer {self.name!r}"
        layer, argument = self._place
        return f"`{argument}` of layer {layer!r}"

    def put_into(self, layer: str, argument: str) -> None:
        """Tells the quantizer which layer took it, and as which argument.

        Args:
            layer: Name of the layer.
            argument: Name of the argument.
        """
        if self._place is None:
            self._place = (layer, argument)

    def adopt(self, role: str) -> None:
        """Tells the quantizer what it quantizes.

        Called by the layer that takes the quantizer as an argument.

        Args:
            role: `"input"` or `"kernel"`.
        """

    def _uniform(self, x, low, high):
        return keras.random.uniform(
            keras.ops.shape(x), low, high, dtype=x.dtype, seed=self._noise_seed
        )

    def load_own_variables(self, store: Any) -> None:
        """Reads alpha as Keras loads a file.

        Raises:
            ValueError: If the file is that of a shared quantizer.
        """
        if not store.keys():
            raise ValueError(
                f"The file has no variables for the {self.place}: its model "
                "shared one quantizer among several layers. Build this "
                "model with the same quantizer shared; `clone_model` and "
                "`from_config` make one for each layer."
            )
        super().load_own_variables(_with_trained_alpha(store))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "estimator": self.estimator,
            "stochastic": self.stochastic,
            "seed": self.seed,
        }


def _with_trained_alpha(store):
    """Files of version 0.1.0 have alpha alone: that of their last step."""
    if len(store.keys()) > 1:
        return store
    return {"0": store["0"], "1": store["0"]}
