"""What experiments change in a network and the package does not offer."""

import keras
import tensorflow as tf

import keras_aqe as aqe

# What the forward pass returns: an estimator that does, and the factor of its
# own gradient.
_FORWARD = {
    "blend": (aqe.estimators.aqe, lambda alpha: 2 * alpha),
    "hard": (aqe.estimators.ste, lambda alpha: 1.0),
}
# The factor of the gradient.
_FACTORS = {
    "2 alpha": lambda alpha: 2 * alpha,
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
        if (run["forward"], run["gradient"]) != ("blend", "2 alpha"):
            quantizer.estimate = _estimator(run["forward"], run["gradient"])
        if isinstance(quantizer, aqe.quantizers.PowerOfTwo):
            kind = "kernel" if quantizer.relative else "input"
            if run[f"{kind}_thresholds"] is not None:
                quantizer.thresholds = tuple(run[f"{kind}_thresholds"]["at"])


def _estimator(forward, gradient):
    """The forward pass of one estimator with the gradient's factor of another.

    AQE is "blend" and "2 alpha", STE is "hard" and "1".
    """
    estimator, own_factor = _FORWARD[forward]
    factor = _FACTORS[gradient]

    def estimate(x, hard, alpha):
        alpha = tf.cast(alpha, x.dtype)
        x = _scale_gradient(x, factor(alpha) / own_factor(alpha))
        return estimator(x, hard, alpha)

    return estimate


@tf.custom_gradient
def _scale_gradient(x, scale):
    return tf.identity(x), lambda upstream: (scale * upstream, None)
