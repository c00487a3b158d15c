import keras
import numpy as np
import pytest

import keras_aqe as aqe
from tests.combinations import each_once


@pytest.mark.parametrize(
    "variant, weights",
    [("A", 10352000), ("B", 4562624), ("C", 2591424), ("D", 1802432)],
)
def test_weights_of_the_paper(variant, weights):
    table = aqe.summary(aqe.models.MINWNet(variant), print_fn=str)
    assert table.weights == weights


# All pairs take twenty seconds.
@pytest.mark.slow
@pytest.mark.parametrize(
    "input_bits, weight_bits",
    each_once([1, 2, 3, 4, 8, 16, 32], [1, 2, 3, 4, 16, 32]),
)
def test_widths(input_bits, weight_bits):
    model = aqe.models.MINWNet(
        "D", input_bits, weight_bits, (10, 12, 1), 3, filters=2, dense_units=4
    )
    first, last = model.get_layer("conv1"), model.layers[-1]
    assert first.input_quantizer is None
    assert isinstance(last, keras.layers.BatchNormalization)
    for layer in model.layers:
        if hasattr(layer, "kernel_quantizer"):
            quantizer = layer.kernel_quantizer
            assert (quantizer.bits if quantizer else 32) == weight_bits
    logits = model(np.random.normal(size=(2, 10, 12, 1)))
    assert logits.shape == (2, 3)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"variant": "E"}, "`variant`.*'E'"),
        ({"input_bits": 5}, "Received: 5"),
        ({"weight_bits": 8}, "`weight_bits`"),
        ({"weight_bits": 0}, "Received: 0"),
        ({"input_shape": (9, 32, 3)}, "at least 10"),
        ({"input_shape": (32, 32)}, "height, width, channels"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        aqe.models.MINWNet(**arguments)


@pytest.mark.slow
def test_save_and_load(tmp_path):
    model = aqe.models.MINWNet("D", 2, 3, filters=2, dense_units=4)
    x = np.random.normal(size=(2, 32, 32, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))
