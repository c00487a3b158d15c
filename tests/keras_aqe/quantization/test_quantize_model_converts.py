"""Twins as files, under every target."""

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from keras_aqe import converters
from tests.combinations import each_once
from tests.converters.networks import TARGETS
from tests.keras_aqe.quantization.networks import (
    images,
    mobile,
    residual,
    straight,
    trained,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build, target, bits",
    each_once([residual, straight, mobile], TARGETS, [1, 2, 3]),
)
def test_the_file_computes_what_the_twin_does(build, target, bits):
    model = trained(build())
    x = images(model)
    twin = aqe.quantize_model(model, bits, bits, data=x)
    converted = converters.convert(twin, target)
    verification = converters.verify(twin, converted, x)
    assert verification.faultless, verification
    # Kernels of all quantized layers have the widths that the twin's have.
    widths = {row.name: row.weight_bits for row in converted.report}
    rows = twin.quantization_report.quantized
    names = [row.path.split("/")[-1] for row in rows]
    assert [widths[name] for name in names] == [row.weight_bits for row in rows]


@pytest.mark.long  # minutes for these
@pytest.mark.parametrize(
    "name, size, bits, edges",
    [
        *(
            (name, 64, bits, None)
            for name in ("MobileNetV2", "ResNet50")
            for bits in (1, 2)
        ),
        ("DenseNet121", 32, 2, 32),
        ("EfficientNetV2B0", 32, 2, 32),
        ("MobileNet", 32, 2, 32),
        ("VGG16", 32, 2, 32),
        ("Xception", 71, 2, 32),
    ],
)
def test_networks_of_keras_applications(name, size, bits, edges):
    build = getattr(keras.applications, name)
    model = build(input_shape=(size, size, 3), weights=None, classes=10)
    x = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3))
    x = x.astype("float32")
    twin = aqe.quantize_model(model, bits, bits, first_last_bits=edges, data=x)
    converted = converters.convert(twin, "packed")
    verification = converters.verify(twin, converted, x)
    assert verification.faultless and verification.labels_equal
