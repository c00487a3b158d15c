"""Puts the best networks of two experiments among those of the package.

```shell
python -m examples.export_pretrained --results docs/results --data-dir DIR \
    --images cifar10.npz
```

Of each experiment in `GROUPS` and at each width the network that has the
highest validation accuracy is taken, among all seeds, learning rates and
schedules that are finished; other settings are those of the experiment's first
run of that width, its estimator among them. It is made small,
converted to the packed format, verified on the test images, and its row is
written into the model card. A network that is published already need not lie in
its experiment's folder any more. Decoders of JPEG differ, so each is tested on
images as it was trained on.
"""

import argparse
import dataclasses
import importlib
import inspect
import json
import zipfile
from pathlib import Path

import keras
import numpy as np

from examples.reproduce import images, report, runs
from examples.reproduce.store import Store
from keras_aqe import converters, datasets
from keras_aqe.files import write_whole

FOLDER = Path(__file__).parent / "pretrained"
WIDTHS = ([1, 1], [2, 2], [3, 3])
# What may differ between the runs that are compared.
FREE = ("seed", "learning_rate", "schedule")


@dataclasses.dataclass(frozen=True)
class Group:
    """Networks of one experiment, the first network of its plan.

    Args:
        experiment: Name of its configuration and of its folder of results.
        scale: The scale it was run at.
        prefix: What the names of the networks begin with.
        about: What the model card says of them.
        from_file: Whether they were trained on the pixels of
            `examples.reproduce.images`, not on those of tensorflow-datasets.
    """

    experiment: str
    scale: str
    prefix: str
    about: str
    from_file: bool

    def name(self, bits):
        return "{}-{}-{}".format(self.prefix, *bits)


GROUPS = (
    Group(
        "recipe",
        "full",
        "minw-d-cifar10",
        "MINW-Net, Model D, as in the paper, trained on 45,000 images of "
        "CIFAR-10 in 100 epochs.",
        from_file=True,
    ),
    Group(
        "wide",
        "small",
        "minw-a-cifar10",
        "MINW-Net, Model A, as in the paper. Its first weights are those of "
        "the trained Model D, each unit repeated; with these it was trained on "
        "45,000 images of CIFAR-10 in 3 epochs.",
        from_file=True,
    ),
    Group(
        "resnet20",
        "small",
        "resnet20-cifar10",
        "ResNet-20 with its first and last layer in float, trained on 45,000 "
        "images of CIFAR-10 in 26 epochs, which is far from what it can reach.",
        from_file=True,
    ),
    Group(
        "study",
        "small",
        "minw-d24-cifar10",
        "MINW-Net, Model D with 24 filters and 128 dense units, trained on "
        "20,000 images of CIFAR-10 in 10 epochs: for examples, tests and "
        "benchmarks, not for recognising anything.",
        from_file=False,
    ),
)

CARD = """# Trained networks

`keras_aqe.models.load_pretrained(name)` loads `name.keras` of this folder,
which is installed with the package:

```python
model = aqe.models.load_pretrained("{example}")
```

A name says the network, the data, the width of the inputs and that of the
weights. `name.tflite` is the same network in the
[packed format](../../docs/format.md).

Networks are saved without optimizer, and their kernels hold one value for each
code and sign: the mean of the latent weights that had it. Codes and logits are
those of the trained network to the bit, and the file is 7 to 15 times smaller;
who trains on starts from these means.

Accuracies are those of the hard network on the 10,000 test and 5,000 held-out
images. Runs were chosen by validation accuracy. The training images are
CIFAR-10's after JPEG compression (quality 75), so accuracies on the original
images differ.

{groups}

`python -m examples.export_pretrained` made these files.
"""

SECTION = """## {prefix}

{about}

{table}

The run is the `id` of a line in
[results.jsonl](../../docs/results/{experiment}/results.jsonl), with all
settings.{missing}

Images, `uint8` of 32 by 32 pixels, are normalised by channel:

```python
mean = {mean}
std = {std}
x = np.rint((images - mean) / std * 128) / 128
```
{rounding}"""

# Arguments that the `from_config` of a layer of Keras does not do without.
ASKED_FOR = {"Rescaling": ("offset",)}

# What is promised of the first layer's sums.
EXACT = """
Multiples of 1/128 add up exactly in any order, so that network and file agree
on every processor; without rounding, a sum of the first layer that lies on the
edge of a threshold may give another code on another one."""
ROUNDED = """
Sums of the first layer, whose kernel is in float, round by processor. One that
lies on the edge of a threshold may give another code in the file, or on another
processor."""


def best(group, records, bits):
    """Returns the record to publish, or `None` if there is no run yet."""
    planned = runs.expand(runs.load(group.experiment), group.scale)
    # The first of the plan has default settings but for what is free.
    wanted = next((p.run for p in planned if p.run["bits"] == bits), None)
    if wanted is None:
        return None

    def fits(run):
        run = {**runs.DEFAULTS, **run}
        return all(run[n] == wanted[n] for n in wanted if n not in FREE)

    fitting = [record for record in records if fits(record["run"])]
    return max(
        fitting, key=lambda record: record["validation_accuracy"], default=None
    )


def export(group, record, results, x, labels):
    """Writes the network and its packed file.

    Raises:
        ValueError: If network or file are not what the line says.
    """
    name = group.name(record["run"]["bits"])
    path = results / "runs" / record["id"] / "model.keras"
    if not path.exists():
        # If the published network is of another run, its accuracy tells.
        path = FOLDER / f"{name}.keras"
    # Not compiled, so that it is saved without the state of the optimizer,
    # twice as large as the network.
    model = keras.models.load_model(path, compile=False)
    logits = model.predict(x, batch_size=500, verbose=0)
    accuracy = round(float(np.mean(logits.argmax(-1) == labels)), 4)
    if abs(accuracy - record["test_accuracy"]) > 2e-4:
        raise ValueError(
            f"{path} must have the test accuracy of run {record['id']}, "
            f"{record['test_accuracy']}. Received: {accuracy}. Is --data-dir "
            "the one it was trained on?"
        )
    gather_weights(model)
    gathered = model.predict(x, batch_size=500, verbose=0)
    if not np.array_equal(gathered, logits):
        raise ValueError(
            f"{path}: gathering the latent weights must not change logits, but "
            f"did by up to {np.abs(gathered - logits).max()}."
        )
    converted = converters.convert(model, target="packed")
    # Multiples of 1/128 add up exactly, whatever the processor.
    rounded = np.rint(128 * x[:1000]) / 128
    verification = converters.verify(model, converted, rounded)
    if not verification.labels_equal:
        raise ValueError(f"Run {record['id']}: {verification}")
    write_whole(
        FOLDER / f"{name}.keras", lambda path: save_compressed(model, path)
    )
    converted.save(FOLDER / f"{name}.tflite")


def gather_weights(model):
    """Replaces latent weights by the mean of those of their code and sign.

    `mean|W|`, which thresholds are relative to, stays what it was, and so does
    every code; few different values are left, which compress well.
    """
    for layer in model.layers:
        quantizer = getattr(layer, "kernel_quantizer", None)
        if quantizer is None:
            continue
        kernel = layer.kernel.numpy()
        groups = np.stack([quantizer.codes(kernel), np.sign(kernel)], -1)
        _, group = np.unique(groups.reshape(-1, 2), axis=0, return_inverse=True)
        sums = np.bincount(group, weights=kernel.ravel())
        means = sums / np.bincount(group)
        layer.kernel.assign(means[group].reshape(kernel.shape))


def save_compressed(model, path):
    """Saves a model like `model.save`, compressed, for older Keras too."""
    model.save(path)
    compress(path)


def compress(path):
    """Writes a `.keras` file anew, compressed and for older Keras too."""
    with zipfile.ZipFile(path) as archive:
        files = {file: archive.read(file) for file in archive.namelist()}
    config = json.loads(files["config.json"])
    files["config.json"] = json.dumps(without_defaults(config))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files.items():
            archive.writestr(file, content)


def without_defaults(config):
    """Leaves out arguments of Keras's layers that are what they default to.

    Each release of Keras adds some, which older ones refuse. What a layer's own
    `from_config` asks for stays.
    """
    if isinstance(config, list):
        return [without_defaults(entry) for entry in config]
    if not isinstance(config, dict):
        return config
    config = {key: without_defaults(entry) for key, entry in config.items()}
    if config.get("module") in ("keras.initializers", "keras.layers"):
        module = importlib.import_module(config["module"])
        known = inspect.signature(getattr(module, config["class_name"]))
        config["config"] = {
            name: value
            for name, value in config["config"].items()
            if name in ASKED_FOR.get(config["class_name"], ())
            or name not in known.parameters
            or known.parameters[name].default != value
        }
    return config


def choose(group, results):
    """Returns `{name: record to publish}` of a group's finished networks."""
    records = list(Store(results / "results.jsonl"))
    chosen = {group.name(bits): best(group, records, bits) for bits in WIDTHS}
    return {name: record for name, record in chosen.items() if record}


def section(group, chosen, results, args):
    """Exports what `choose` found; returns the group's section of the card."""
    found = list(chosen.values())
    if group.from_file:
        (x, _), _, (test, labels) = images.read(args.images).splits()
        x = x[: found[0]["run"]["train_images"]]
    else:
        (x, _), _, (test, labels) = datasets.load_cifar10(
            args.data_dir,
            found[0]["run"]["train_images"] or datasets.TRAIN_IMAGES,
        )
    mean = np.mean(x, axis=(0, 1, 2)).astype("float32")
    std = np.std(x, axis=(0, 1, 2)).astype("float32")
    test = (test.astype("float32") - mean) / std

    rows = []
    for name, record in chosen.items():
        if not args.only or name in args.only:
            export(group, record, results, test, labels)
        sizes = [
            (FOLDER / f"{name}.{suffix}").stat().st_size
            for suffix in ("keras", "tflite")
        ]
        rows.append(
            [
                f"`{name}`",
                f"{record['test_accuracy']:.4f}",
                f"{record['validation_accuracy']:.4f}",
                str(record["run"]["seed"]),
                str(record["run"]["learning_rate"]),
                record["run"]["estimator"],
                report.setting(record["run"]["schedule"]),
                f"`{record['id']}`",
                *(f"{size / 1024:,.0f} KiB" for size in sizes),
            ]
        )
    names = [group.name(bits) for bits in WIDTHS]
    missing = [f"`{name}`" for name in names if name not in chosen]
    head = ["name", "test", "validation", "seed", "learning rate"]
    head += ["estimator", "schedule", "run", ".keras", ".tflite"]
    return SECTION.format(
        prefix=group.prefix,
        about=group.about,
        experiment=group.experiment,
        table="\n".join(report.markdown(head, rows)),
        missing=f" Not trained yet: {', '.join(missing)}." if missing else "",
        mean=[round(float(value), 4) for value in mean],
        std=[round(float(value), 4) for value in std],
        rounding=EXACT if _is_exact(found[0]["run"]) else ROUNDED,
    )


def _is_exact(run):
    """Whether the first layer's sums of multiples of 1/128 are exact."""
    return run["network_arguments"].get("quantize_first", True)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--results",
        type=Path,
        required=True,
        help="folder of the experiments' outputs, each by its name",
    )
    parser.add_argument("--data-dir", help="of tensorflow-datasets")
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        help="the file of `examples.reproduce.images cifar10`",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="write the files of these networks, and leave the others as they "
        "are; the card is of all",
    )
    args = parser.parse_args(argv)
    folders = {group: args.results / group.experiment for group in GROUPS}
    chosen = {group: choose(group, folders[group]) for group in GROUPS}
    names = [name for of_group in chosen.values() for name in of_group]
    if not names:
        raise SystemExit(f"{args.results} has no finished run to publish yet.")
    unknown = sorted(set(args.only or []) - set(names))
    if unknown:
        parser.error(
            f"--only must be of {names}, which have a finished run. "
            f"Received: {unknown}"
        )

    sections = [
        section(group, chosen[group], folders[group], args)
        for group in GROUPS
        if chosen[group]
    ]
    example = GROUPS[-1].name(WIDTHS[0])
    card = CARD.format(example=example, groups="\n\n".join(sections))
    write_whole(FOLDER / "README.md", lambda path: path.write_text(card))
    print(card)


if __name__ == "__main__":
    main()
