"""What TensorBoard reads of blended values."""

import builtins

import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe.callbacks import AlphaScheduler, BlendHistograms, BlendHistory
from tests.keras_aqe.callbacks.fitting import X, Y, compiled


def written(folder):
    """`{tag: {step: value}}` of all events in a folder."""
    import tensorflow as tf

    found = {}
    for path in sorted(folder.rglob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                found.setdefault(value.tag, {})[event.step] = array
    return found


@pytest.mark.slow
@pytest.mark.tensorflow
def test_histograms_are_those_of_the_blends(tmp_path):
    model = compiled()
    (activation,) = (
        layer.name
        for layer in model.layers
        if isinstance(layer, aqe.layers.QuantActivation)
    )
    history = BlendHistory(activation=activation, x=X)
    model.fit(
        X,
        Y,
        epochs=3,
        verbose=0,
        callbacks=[
            AlphaScheduler(),
            BlendHistograms(tmp_path, X, histogram_freq=2),
            history,
        ],
    )
    found = written(tmp_path)
    kernels = [tag for tag in found if tag.endswith("/kernel")]
    assert len(kernels) == 1
    assert set(found) == {"alpha", f"blend/{activation}", *kernels}
    for values in found.values():
        assert set(values) == {0, 2}
    for step, buckets in found[f"blend/{activation}"].items():
        blend = history.activations[step + 1]
        assert found["alpha"][step] == pytest.approx(history.alphas[step + 1])
        # Rows are of left edge, right edge and count.
        assert buckets[:, 2].sum() == blend.size
        np.testing.assert_allclose(buckets[0, 0], blend.min(), rtol=1e-6)
        np.testing.assert_allclose(buckets[-1, 1], blend.max(), rtol=1e-6)


def test_arguments_and_what_is_missing(monkeypatch):
    with pytest.raises(ValueError, match="histogram_freq=0"):
        BlendHistograms(histogram_freq=0)
    real = builtins.__import__

    def without_tensorflow(name, *args, **kwargs):
        if name.split(".")[0] == "tensorflow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tensorflow)
    with pytest.raises(ImportError, match="pip install tensorflow"):
        BlendHistograms()
