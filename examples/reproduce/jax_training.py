"""One run on JAX: images in device memory, an epoch in one compiled call."""

import dataclasses
import functools
import json
import statistics
import time

import jax
import keras
import numpy as np

import keras_aqe as aqe
from examples.reproduce import images, progress, store, variants, widening
from examples.reproduce.jax_program import EVALUATED, Program, structure
from keras_aqe.files import write_whole

# Structures that a process keeps compiled.
PROGRAMS = 4
# Seconds of training between two checkpoints.
CHECKPOINTED = 60
# Training images that batch normalisation is recalibrated on, at most.
RECALIBRATED = 20_000


def train(run, folder, args, sources):
    """Trains a network, saves it and returns what was measured.

    Args:
        run: Settings, see `runs.DEFAULTS`.
        folder: Where the model, its curves and the checkpoint go.
        args: The command's `images`, `output` and `deadline`.
        sources: Paths of the finished networks that `teacher` and `initial`
            stand for.

    Returns:
        A dictionary, or `None` if the deadline came first: the same call then
        goes on from the checkpoint.
    """
    began = time.monotonic()
    _check(run, args)
    jax.config.update("jax_compilation_cache_dir", str(args.output / "cache"))
    data = _data(args.images, run["train_images"], run["test_images"])
    program = _program(run, data)
    keras.utils.set_random_seed(run["seed"])
    as_float32 = {**run, "dtype": "float32"}
    model = variants.build(as_float32, data.pixels.shape[1:], data.classes)
    widening.start(model, run)
    if run["initial"]:
        _start_from(model, keras.models.load_model(sources["initial"]))
    loop = _Loop(run, folder, program, model, sources)
    if not loop.run(args.deadline):
        return None
    return {
        **loop.tested(),
        **loop.seconds(time.monotonic() - began),
        "epochs": loop.lines(),
        "device": jax.devices()[0].device_kind,
        "replicas": 1,
    }


def versions():
    """The versions of what only this backend needs."""
    return {"jax": jax.__version__}


def _check(run, args):
    if run["dataset"] == "imagenet":
        raise ValueError(
            "ImageNet does not fit into a device's memory. Train it with "
            "KERAS_BACKEND=tensorflow."
        )
    if args.images is None:
        raise ValueError(
            "Under KERAS_BACKEND=jax images come from one file: write it by "
            f"`python -m examples.reproduce.images {run['dataset']} FILE` and "
            "give it as --images FILE."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Images in device memory.

    Args:
        pixels: All images, uint8.
        labels: Their labels.
        mean, std: Of the channels of the training images.
        training, validation, test: First and last + 1 of the images of each.
        classes: Number of classes.
    """

    pixels: jax.Array
    labels: jax.Array
    mean: np.ndarray
    std: np.ndarray
    training: tuple
    validation: tuple
    test: tuple
    classes: int

    @property
    def arrays(self):
        """What the compiled functions take."""
        return {
            "pixels": self.pixels,
            "labels": self.labels,
            "mean": self.mean,
            "std": self.std,
        }


@functools.lru_cache(1)
def _read(path):
    return images.read(path)


@functools.lru_cache(1)
def _data(path, train_images, test_images):
    found = _read(path)
    training, validation, test = found.sizes
    count = min(training, train_images or training)
    used = found.pixels[:count]

    def part(start, size):
        return start, start + min(size, test_images or size)

    return Data(
        pixels=jax.device_put(found.pixels),
        labels=jax.device_put(found.labels),
        mean=np.mean(used, axis=(0, 1, 2)).astype("float32"),
        std=np.std(used, axis=(0, 1, 2)).astype("float32"),
        training=(0, count),
        validation=part(training, validation),
        test=part(training + validation, test),
        classes=found.classes,
    )


_programs = {}


def _program(run, data):
    """The `Program` of a run's structure, compiled once in a process."""
    key = structure(run), data
    if key not in _programs:
        while len(_programs) >= PROGRAMS:
            del _programs[next(iter(_programs))]
        _programs[key] = Program(run, data)
    return _programs[key]


def _start_from(model, source):
    """Gives a model the weights and statistics of one of other widths."""
    pairs = []
    for variables in (_learned(model), _learned(source)):
        pairs.append([(v.path.split("/")[-1], v.shape) for v in variables])
    if pairs[0] != pairs[1]:
        raise ValueError(
            "`initial` must name a network with the same weights as the run's. "
            f"Received: {pairs[1]}, and not {pairs[0]}"
        )
    for variable, value in zip(_learned(model), _learned(source)):
        variable.assign(value)


def _learned(model):
    """The variables of a model, those of its quantizers left out."""
    own = {
        id(variable)
        for quantizer in aqe.callbacks.find(model)
        for variable in quantizer.variables
    }
    return [variable for variable in model.variables if id(variable) not in own]


class _Loop:
    """The epochs of a run, with its checkpoint and its curves."""

    def __init__(self, run, folder, program, model, sources):
        self.settings = run
        self.folder = folder
        self.program = program
        self.data = program.data
        self.model = model
        self.checkpoint = folder / "backup" / "state.npz"
        self.curves = folder / "curves.jsonl"
        total = program.steps * run["epochs"]
        self.schedule = _schedule(run, program, total)
        self.arguments = {
            "seed": np.uint32(run["seed"]),
            "forms": [
                tuple(map(np.float32, form))
                for form in variants.forms(run, model)
            ],
            "smooth": np.float32(run["label_smoothing"]),
            "decay": [
                np.float32(run["weight_decay"] * part)
                for part in variants.decays(run, model)
            ],
            "share": np.float32(0),
        }
        self.teacher = None
        if run["teacher"]:
            teacher = keras.models.load_model(sources["teacher"])
            self.arguments["share"] = np.float32(run["teacher"]["share"])
            self.teacher = [
                [variable.value for variable in variables]
                for variables in (
                    teacher.trainable_variables,
                    teacher.non_trainable_variables,
                )
            ]
        self.state = program.start(model)
        self.done = 0
        # Seconds of the epochs of this call.
        self.spent = []
        if self.checkpoint.exists():
            self._restore()

    def run(self, deadline):
        """Trains, for an epoch at least; returns whether it came to the end."""
        saved = time.monotonic()
        while self.done < self.settings["epochs"]:
            began = time.monotonic()
            line = self._epoch()
            now = time.monotonic()
            self.spent.append(now - began)
            line["seconds"] = _round(self.spent[-1])
            with self.curves.open("a") as file:
                file.write(json.dumps(line) + "\n")
            # The first compiles, so it says nothing of the next.
            following = self.spent[-1] if len(self.spent) > 1 else 0.0
            if now + following >= deadline:
                self._save()
                return False
            if now - saved > CHECKPOINTED:
                self._save()
                saved = now
        return True

    def _epoch(self):
        steps = slice(
            self.done * self.program.steps,
            (self.done + 1) * self.program.steps,
        )
        schedule = {name: self.schedule[name][steps] for name in self.schedule}
        self.state, loss, accuracy = self.program.epoch(
            self.state,
            self.data.arrays,
            self.arguments,
            schedule,
            np.uint32(self.done),
            self.teacher,
        )
        self.done += 1
        line = {
            "epoch": self.done,
            "loss": _round(loss),
            "accuracy": _round(accuracy),
        }
        if self.program.quantizers:
            # Of the last step; where they differ, in the mean.
            line["alpha"] = _round(schedule["alpha"][-1].mean())
        every = self.settings["curve_every"]
        if self.done % every == 0 or self.done == self.settings["epochs"]:
            state = self._settled()
            for name in ("training", "validation"):
                start, stop = getattr(self.data, name)
                stop = min(stop, start + self.settings["curve_images"])
                loss, accuracy = self._test(state, (start, stop))
                line[f"hard_{name}_loss"] = loss
                line[f"hard_{name}_accuracy"] = accuracy
        return line

    def _test(self, state, part):
        batches = -(-(part[1] - part[0]) // EVALUATED)
        found = self.program.test(
            state, self.data.arrays, np.int32(part), np.int32(batches)
        )
        return [_round(value) for value in found]

    def _settled(self):
        """The state with the statistics of the steps at alpha = 1."""
        before = self.schedule["keep"][: self.done * self.program.steps]
        (resets,) = np.nonzero(before == 0)
        hard = len(before) - resets[-1] if len(resets) else 0
        return self.program.settled(self.state, int(hard))

    def tested(self):
        """Tests the network before and after it is recalibrated; saves it.

        Outside of training every quantizer is hard: this is what is shipped.
        """
        state = self._settled()
        start, stop = self.data.training
        size = min(EVALUATED, stop - start)
        count = min(RECALIBRATED, stop - start) // size
        recalibrated = self.program.recalibrated(
            state, self.data.arrays, start + size * np.arange(count)
        )
        record = {}
        kept = recalibrated if self.settings["recalibrate"] else state
        for name, tested in (("moving", state), ("recalibrated", recalibrated)):
            for part in ("test", "validation"):
                loss, accuracy = self._test(tested, getattr(self.data, part))
                record[f"{name}_{part}_accuracy"] = round(accuracy, 4)
                if tested is kept:
                    record[f"{part}_loss"] = round(loss, 4)
                    record[f"{part}_accuracy"] = round(accuracy, 4)
        self._assign(kept)
        if self.settings["recalibrate"]:
            for quantizer in aqe.callbacks.find(self.model):
                quantizer.alpha.assign(1.0)
                quantizer.trained_alpha.assign(1.0)
        write_whole(self.folder / "model.keras", self.model.save)
        return record

    def _assign(self, state):
        for variables, values in (
            (self.model.trainable_variables, state["trainable"]),
            (self.model.non_trainable_variables, state["rest"]),
        ):
            for variable, value in zip(variables, values):
                variable.assign(value)

    def lines(self):
        """The curves; of an epoch that was repeated, the last."""
        return store.epochs(self.curves)

    def seconds(self, whole):
        """`seconds` of all epochs, the usual one, and of all else.

        Args:
            whole: Seconds of this call, which may have done some epochs only.
        """
        epochs = [line["seconds"] for line in self.lines()]
        usual = statistics.median(epochs)
        around = whole - sum(self.spent)
        if self.spent:
            # What the first took longer, it compiled.
            around += max(0.0, self.spent[0] - usual)
        return {
            "seconds": round(sum(epochs), 1),
            "seconds_per_epoch": round(usual, 4),
            "seconds_around": round(around, 1),
        }

    def _save(self):
        leaves = jax.tree.leaves(self.state)
        arrays = {str(n): np.asarray(leaf) for n, leaf in enumerate(leaves)}
        self.checkpoint.parent.mkdir(exist_ok=True)
        write_whole(
            self.checkpoint,
            lambda path: np.savez(path, done=self.done, **arrays),
        )

    def _restore(self):
        with np.load(self.checkpoint) as file:
            self.done = int(file["done"])
            leaves, tree = jax.tree.flatten(self.state)
            leaves = [file[str(n)] for n in range(len(leaves))]
        self.state = jax.device_put(jax.tree.unflatten(tree, leaves))


def _schedule(run, program, total):
    """What differs from step to step, as arrays of a run's steps.

    `rate` of learning, `alpha` of each quantizer, and `keep`, which is 0 at
    the first step after the last with blended values, else 1.
    """
    rate = progress.learning_rate(run, total)
    steps = np.arange(total, dtype="int32")
    if callable(rate):
        rate = jax.jit(jax.vmap(rate))(steps)
    alpha = progress.alphas(run, len(program.quantizers), total)
    blended = np.zeros(total, bool)
    for column, form in zip(alpha.T, variants.forms(run, program.model)):
        blended |= form[0] + form[1] * column < 1
    keep = np.ones(total, "float32")
    (soft,) = np.nonzero(blended)
    if len(soft) and soft[-1] + 1 < total:
        keep[soft[-1] + 1] = 0
    return {
        "rate": np.broadcast_to(np.asarray(rate, "float32"), total),
        "alpha": alpha,
        "keep": keep,
    }


def _round(value):
    return float(f"{float(value):.5g}")
