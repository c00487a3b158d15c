from typing import Any

import keras

from keras_aqe.quantizers.power_of_two import PowerOfTwo


@keras.saving.register_keras_serializable("keras_aqe")
class Ternary(PowerOfTwo):
    """Two bits: `h(x) = 0` if `|x| <= D`, else `sign(x)`.

    Source: Chen et al., 2020, Eq. 21. The default threshold is
    `D = 0.7 * mean|W|` for a kernel (ternary weight networks, Li and Liu,
    2016) and `D = 1/2` for an input, the midpoint of its levels, since hard
    tanh leaves inputs in [-1, 1] and the paper is silent.

    Args:
        threshold: `D`, in units of `mean|x|` if `relative`, else of `scale`.
            `None` takes the defaults above.
        relative: Whether `D` is in units of `mean|x|`, taken over the whole
            tensor. `None` means yes for a kernel and no for an input; the
            layer that is given the quantizer decides.
        estimator: `"aqe"`, `"aqe_ste"` or `"ste"`.
        stochastic: Whether training rounds `x` at random to one of the two
            neighbouring levels (only for the default threshold).
        seed: Integer seed of the stochastic form.
        scale: Power of two that the levels are multiplied with.
        **kwargs: `name`, `dtype` and the like, passed to the Keras layer.

    Raises:
        ValueError: If `threshold` is negative, or given with `stochastic`.

    Example:

    ```pycon
    >>> keras.ops.convert_to_numpy(Ternary().hard([-0.9, 0.5, 0.6]))
    array([-1.,  0.,  1.], dtype=float32)

    ```
    """

    def __init__(
        self,
        threshold: float | None = None,
        relative: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            bits=2,
            thresholds=None if threshold is None else (threshold,),
            relative=relative,
            **kwargs,
        )

    @property
    def threshold(self) -> float | None:
        """`D` as it was given; `None` for the default."""
        return None if self.thresholds is None else self.thresholds[0]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["bits"], config["thresholds"]
        return {**config, "threshold": self.threshold}
