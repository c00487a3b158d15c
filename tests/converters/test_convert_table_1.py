"""Every row of Table I for Model D, trained, under every target."""

import keras
import pytest

import keras_aqe as aqe
from keras_aqe.converters import ConversionError, convert, verify
from keras_aqe.datasets import digits
from tests.converters.networks import TABLE_1

pytestmark = pytest.mark.long
# Larq Compute Engine multiplies bits only, the packed format by bits only.
REFUSED = {
    "packed": [row for row in TABLE_1 if row[1] == 16],
    "lce": [row for row in TABLE_1 if 16 in row],
    "tflite": [],
}


@pytest.fixture(scope="module")
def data():
    return digits()


@pytest.fixture(scope="module", params=TABLE_1, ids=str)
def trained(request, data):
    """Model D after one epoch on 1,437 scanned digits."""
    keras.utils.set_random_seed(0)
    model = aqe.models.MINWNet(
        "D", *request.param, input_shape=data[0][0].shape[1:]
    )
    model.compile(
        keras.optimizers.Adam(5e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    callbacks = [aqe.callbacks.AlphaScheduler()]
    is_float = request.param == (32, 32)
    model.fit(*data[0], callbacks=[] if is_float else callbacks, verbose=0)
    return model, request.param


@pytest.mark.parametrize("target", ["packed", "lce", "tflite"])
def test_row(trained, target, data):
    model, widths = trained
    if widths in REFUSED[target]:
        with pytest.raises(ConversionError, match="'(conv|dense).*bit"):
            convert(model, target)
        return
    verification = verify(model, convert(model, target), data[1][0][:100])
    assert verification.labels_equal, verification
    # Sums of 16-bit floats round differently in another order.
    exact = 16 not in widths
    assert not exact or verification.codes_equal, verification
    assert verification.max_relative_error < (1e-4 if exact else 1e-2)
    print(widths, target, verification)
