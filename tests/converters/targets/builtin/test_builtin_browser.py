"""Files of builtin operators in LiteRT.js, in a headless Chromium. Run by
`make test-browser`."""

import functools
import html
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import keras
import numpy as np
import pytest

from keras_aqe.converters import Interpreter, convert
from tests.converters.targets.builtin.test_builtin_micro import networks
from tests.randomised import images, randomise

PAGE = pathlib.Path(__file__).with_name("browser.html")
MODULES = pathlib.Path(os.environ.get("LITERT_JS", "/none"))
CHROMIUM = shutil.which("chromium")


def with_fixed_batch(model):
    """The model with a batch of 1, as docs/deploying.md fixes it."""
    image = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    return keras.Model(image, model(image))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(tmp_path):
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{PAGE.name}"
        server.shutdown()


@pytest.mark.long  # Needs LiteRT.js and a browser.
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
@pytest.mark.skipif(
    not (MODULES / "@litertjs").exists(),
    reason="no LITERT_JS: make test-browser",
)
def test_files_run_in_browsers(tmp_path, address):
    x = images((32, 32, 3))
    expected = []
    for i, model in enumerate(networks()):
        model = with_fixed_batch(randomise(model))
        converted = convert(model, target="tflite")
        converted.save(tmp_path / f"{i}.tflite")
        expected.append(Interpreter(converted).predict(x))
    inputs = {
        "count": len(expected),
        "shape": [1, 32, 32, 3],
        "rows": x.reshape(len(x), -1).tolist(),
    }
    (tmp_path / "inputs.json").write_text(json.dumps(inputs))
    (tmp_path / "node_modules").symlink_to(MODULES.resolve())
    shutil.copy(PAGE, tmp_path)
    page = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--virtual-time-budget=100000", "--dump-dom", address),
        ],
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    ).stdout
    (output,) = re.findall(r'<pre id="output">(.*?)</pre>', page, re.DOTALL)
    received = json.loads(html.unescape(output))
    for actual, y in zip(received, expected, strict=True):
        np.testing.assert_array_equal(np.array(actual, "float32"), y)
