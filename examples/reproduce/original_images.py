"""The trained networks on CIFAR-10's own images, and on these as JPEG.

The networks of `examples/pretrained` learned from images after JPEG
compression. The first 1,000 test images as they were published are in the
public repository github.com/PeterJensen/cnn, folder `demo/cifar10`:
`cifar10_batch_50.png`, an image in each row, and `cifar10_labels.js`.

```shell
python -m examples.reproduce.original_images cnn/demo/cifar10
```
"""

import argparse
import io
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

import keras_aqe as aqe
from examples.reproduce import report

PRETRAINED = Path(__file__).parents[1] / "pretrained"
SIDE = 32
TEST = 50  # The batch of test images: those before are for training.
JPEG = {"quality": 75, "subsampling": "4:2:0"}


def read(folder, batch=TEST):
    """Returns `uint8` images `(count, 32, 32, 3)` of a batch, and labels."""
    with Image.open(folder / f"cifar10_batch_{batch}.png") as file:
        pixels = np.asarray(file.convert("RGB"))
    images = pixels.reshape(len(pixels), SIDE, SIDE, 3)
    script = (folder / "cifar10_labels.js").read_text()
    labels = json.loads(re.search(r"\[.*?\]", script, re.DOTALL)[0])
    first = batch * len(images)
    return images, np.array(labels[first : first + len(images)])


def compressed(images):
    """The images after JPEG compression."""
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "jpeg", **JPEG)
        found.append(np.asarray(Image.open(file)))
    return np.stack(found)


def normalisations():
    """`{prefix of names: (mean, std)}` of the model card."""
    card = (PRETRAINED / "README.md").read_text()
    found = {}
    for section in re.split(r"^## ", card, flags=re.MULTILINE)[1:]:
        found[section.partition("\n")[0]] = tuple(
            np.array(
                json.loads(re.search(f"^{name} = (.*)$", section, re.M)[1])
            )
            for name in ("mean", "std")
        )
    return found


def normalise(images, mean, std):
    """Returns multiples of 1/128, which a first layer adds up exactly."""
    return np.float32(np.rint((images - mean) / std * 128) / 128)


def accuracies(images, labels):
    """Yields a name and the accuracy of each trained network."""
    for prefix, (mean, std) in normalisations().items():
        x = normalise(images, mean, std)
        for path in sorted(PRETRAINED.glob(f"{prefix}-?-?.keras")):
            model = aqe.models.load_pretrained(path.stem)
            logits = model.predict(x, verbose=0)
            yield path.stem, float(np.mean(logits.argmax(-1) == labels))


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "folder", type=Path, help="of cifar10_batch_50.png and its labels"
    )
    args = parser.parse_args(argv)
    images, labels = read(args.folder)
    original = dict(accuracies(images, labels))
    as_jpeg = dict(accuracies(compressed(images), labels))
    head = ["network", "original images", "the same as JPEG"]
    rows = [
        [f"`{name}`", f"{original[name]:.3f}", f"{as_jpeg[name]:.3f}"]
        for name in original
    ]
    print("\n".join(report.markdown(head, rows)))


if __name__ == "__main__":
    main()
