import importlib.resources
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_aqe as aqe
from examples import export_pretrained
from examples.reproduce import images, original_images, report
from examples.reproduce.store import Store
from keras_aqe import converters, runtime
from keras_aqe.models import pretrained

ROOT = pathlib.Path(__file__).parents[3]
# What trained the networks that "aqe" did not.
ESTIMATORS = {"minw-a-cifar10": "ste", "resnet20-cifar10": "aqe_ste"}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A folder of two trained networks."""
    folder = tmp_path_factory.mktemp("networks")
    for bits in (1, 2):
        model = aqe.models.MINWNet("D", bits, bits, filters=2, dense_units=4)
        model.save(folder / f"minw-tiny-{bits}-{bits}.keras")
    (folder / "README.md").write_text("The model card.")
    return folder


@pytest.fixture
def folder(networks, monkeypatch):
    """These in place of the package's."""
    monkeypatch.setattr(pretrained, "_folder", lambda: networks)
    return networks


@pytest.mark.slow
def test_load(folder):
    model = aqe.models.load_pretrained("minw-tiny-2-2")
    expected = keras.models.load_model(folder / "minw-tiny-2-2.keras")
    x = np.random.normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(x), expected(x))
    assert model.get_layer("conv1").kernel_quantizer.bits == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["minw-tiny-3-3", "README.md", "", "../x"])
def test_unknown_name(folder, name):
    with pytest.raises(ValueError, match="minw-tiny-1-1, minw-tiny-2-2"):
        aqe.models.load_pretrained(name)


def test_folder_is_installed():
    files = importlib.resources.files("keras_aqe.pretrained")
    assert (files / "README.md").is_file()


def card():
    """The rows of the model card, `{name: cells after it}`."""
    text = (ROOT / "examples" / "pretrained" / "README.md").read_text()
    rows = re.findall(r"^\| `(.*?)` \| (.*) \|$", text, re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in rows}


def test_card_is_what_the_committed_lines_say():
    results = ROOT / "docs" / "results"
    records = {
        record["id"]: record
        for group in export_pretrained.GROUPS
        for record in Store(results / group.experiment / "results.jsonl")
    }
    for name, cells in card().items():
        test, validation, seed, rate, estimator, schedule, run, *_ = cells
        record = records[run.strip("`")]
        assert name.endswith("-{}-{}".format(*record["run"]["bits"]))
        assert estimator == record["run"]["estimator"]
        expected = ESTIMATORS.get(name[: -len("-1-1")], "aqe")
        assert estimator == expected
        assert float(test) == record["test_accuracy"]
        assert float(validation) == record["validation_accuracy"]
        assert int(seed) == record["run"]["seed"]
        assert float(rate) == record["run"]["learning_rate"]
        assert schedule == report.setting(record["run"]["schedule"])


def test_card_lists_the_installed_networks():
    files = importlib.resources.files("keras_aqe.pretrained").iterdir()
    found = {f.name for f in files if f.name.endswith((".keras", ".tflite"))}
    suffixes = (".keras", ".tflite")
    assert found == {name + suffix for name in card() for suffix in suffixes}


def is_exact(model):
    """Whether no sum rounds: a first layer in float does, by processor."""
    layer = model.get_layer("conv1")
    return getattr(layer, "kernel_quantizer", None) is not None


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", card())
def test_packed_file_is_the_network(name):
    try:
        runtime.library_path()
    except RuntimeError as error:
        pytest.skip(str(error))
    model = aqe.models.load_pretrained(name)
    assert {float(q.alpha) for q in aqe.callbacks.find(model)} == {1.0}
    assert not model.compiled
    # The image layer adds floats, exactly if they are multiples of 1/128.
    x = np.float32(np.rint(128 * np.random.normal(size=(16, 32, 32, 3))) / 128)
    path = importlib.resources.files("keras_aqe.pretrained") / f"{name}.tflite"
    found = converters.Interpreter(path.read_bytes()).predict(x)
    if is_exact(model):
        np.testing.assert_allclose(found, model(x), rtol=1e-4, atol=1e-4)
    else:
        close = np.isclose(found, model(x), rtol=1e-4, atol=1e-4).all(-1)
        assert np.mean(close) >= 0.8


@pytest.fixture(scope="module")
def real_images():
    """400 test images of CIFAR-10 as `examples.reproduce.images` reads them."""
    path = pathlib.Path(__file__).with_name("cifar10_test.npz")
    return images.read(path).splits()[-1]


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", card())
def test_network_and_file_recognise_images_as_the_card_says(name, real_images):
    try:
        runtime.library_path()
    except RuntimeError as error:
        pytest.skip(str(error))
    pixels, labels = real_images
    prefix = name[: -len("-1-1")]
    mean, std = original_images.normalisations()[prefix]
    x = original_images.normalise(pixels, mean, std)
    model = aqe.models.load_pretrained(name)
    in_keras = model.predict(x, batch_size=200, verbose=0).argmax(-1)
    path = importlib.resources.files("keras_aqe.pretrained") / f"{name}.tflite"
    in_file = converters.Interpreter(path.read_bytes()).predict(x).argmax(-1)
    unequal = np.mean(in_keras != in_file)
    assert unequal <= (0 if is_exact(model) else 0.01)
    expected = float(card()[name][0])
    uncertain = np.sqrt(expected * (1 - expected) / len(labels))
    for found in (in_keras, in_file):
        assert abs(np.mean(found == labels) - expected) < 4 * uncertain
