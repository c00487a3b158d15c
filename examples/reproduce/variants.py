"""What experiments change in a network and the package does not offer."""

import keras
import tensorflow as tf

import keras_aqe as aqe

# The factor of the gradient, in place of the estimator's 2 alpha.
_FACTORS = {
    "1": lambda alpha: 1.0,
    "1 - alpha": lambda alpha: 1 - alpha,
}


def apply(model, run):
    """Changes a model, not trained yet, as the settings of the run ask."""
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                # The statistics of the whole batch, not of a replica's part.
                layer.synchronized = True
    if run["weight_decay"]:
        # Added to the loss, as in the papers; the decay that Keras
        # optimizers have is apart from momentum.
        for variable in model.trainable_variables:
            variable.regularizer = keras.regularizers.L2(
                run["weight_decay"] / 2
            )
    for quantizer in aqe.callbacks.find(model):
        if run["gradient"] != "2 alpha":
            quantizer._estimate = _with_factor(_FACTORS[run["gradient"]])
        if isinstance(quantizer, aqe.quantizers.PowerOfTwo):
            kind = "kernel" if quantizer.relative else "input"
            if run[f"{kind}_thresholds"] is not None:
                quantizer.thresholds = tuple(run[f"{kind}_thresholds"]["at"])


def _with_factor(factor):
    """AQE with the gradient `factor(alpha) * dy * 1[|x| <= 1]`."""

    def estimate(x, hard, alpha):
        alpha = tf.cast(alpha, x.dtype)
        x = _scale_gradient(x, factor(alpha) / (2 * alpha))
        return aqe.estimators.aqe(x, hard, alpha)

    return estimate


@tf.custom_gradient
def _scale_gradient(x, scale):
    return tf.identity(x), lambda upstream: (scale * upstream, None)
