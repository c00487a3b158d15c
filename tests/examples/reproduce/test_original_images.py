"""Images as they were published, beside their compressed copies."""

import json

import numpy as np
import pytest
from PIL import Image

from examples import export_pretrained
from examples.reproduce import original_images

COUNT = 6


@pytest.fixture
def folder(tmp_path):
    """Batches 2 and 50 of random images, each of a label of its own."""
    rng = np.random.default_rng(0)
    for batch in (2, 50):
        rows = rng.integers(0, 256, (COUNT, 32 * 32, 3), "uint8")
        Image.fromarray(rows).save(tmp_path / f"cifar10_batch_{batch}.png")
    labels = [image % 10 for image in range(51 * COUNT)]
    (tmp_path / "cifar10_labels.js").write_text(
        f"var labels={json.dumps(labels)};\n"
    )
    return tmp_path


@pytest.mark.parametrize("batch", [2, 50])
def test_images_lie_in_rows(folder, batch):
    images, labels = original_images.read(folder, batch)
    pixels = np.asarray(Image.open(folder / f"cifar10_batch_{batch}.png"))
    assert images.shape == (COUNT, 32, 32, 3)
    np.testing.assert_array_equal(images[3, 5, 7], pixels[3, 5 * 32 + 7])
    assert labels.tolist() == [
        (batch * COUNT + image) % 10 for image in range(COUNT)
    ]


def test_compression_keeps_what_is_smooth():
    ramp = np.arange(32) * 4 + np.zeros((32, 1))
    smooth = np.stack([ramp] * 3, axis=-1).astype("uint8")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), "uint8")
    found = original_images.compressed(np.stack([smooth, noise]))
    assert found.dtype == "uint8"
    differences = np.abs(found.astype(int) - [smooth, noise]).max((1, 2, 3))
    assert differences[0] < 8 < differences[1]


def test_each_network_is_measured_on_images_as_it_learned(folder, monkeypatch):
    seen = {}

    class Stub:
        def __init__(self, name):
            self.name = name

        def predict(self, x, verbose):
            seen[self.name] = x
            return np.eye(10)[[0] * (COUNT - 2) + [4, 5]]

    monkeypatch.setattr(original_images.aqe.models, "load_pretrained", Stub)
    images, labels = original_images.read(folder, 50)
    found = dict(original_images.accuracies(images, labels))
    prefixes = {group.prefix for group in export_pretrained.GROUPS}
    assert {name[:-4] for name in found} == prefixes
    assert set(found.values()) == {3 / COUNT}
    for name, x in seen.items():
        mean, std = original_images.normalisations()[name[:-4]]
        np.testing.assert_allclose(x * std + mean, images, atol=0.4)
        np.testing.assert_array_equal(x * 128, np.rint(x * 128))


def test_prints_a_table(folder, monkeypatch, capsys):
    images, _ = original_images.read(folder)
    given = []

    def accuracies(images, labels):
        given.append(images)
        yield "a", 0.5 + len(given) / 8

    monkeypatch.setattr(original_images, "accuracies", accuracies)
    original_images.main([str(folder)])
    assert "| `a` | 0.625 | 0.750 |" in capsys.readouterr().out
    np.testing.assert_array_equal(given[0], images)
    assert not np.array_equal(given[1], images)
