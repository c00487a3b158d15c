"""The compiled functions that train and test a network on JAX."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import keras

import keras_aqe as aqe
from examples.reproduce import runs, variants

PADDING = 4  # Of the images, before a random crop.
EVALUATED = 500  # Images in a batch of evaluation and of recalibration.

# The settings that the compiled functions depend on. All others are their
# arguments, so that another seed, schedule or estimator compiles nothing.
STRUCTURE = (
    "dataset",
    "train_images",
    "test_images",
    "augment",
    "network",
    "network_arguments",
    "bits",
    "stochastic",
    "kernel_thresholds",
    "input_thresholds",
    "kernel_constraint",
    "input_gradient",
    "kernel_gradient",
    "optimizer",
    "optimizer_arguments",
    "batch_size",
    "dtype",
)


class Program:
    """Compiled functions of runs that have a `STRUCTURE` in common.

    The state of a run is a dictionary of lists of arrays: the values of the
    network's `trainable` and of its other variables, `rest`, and those of the
    `optimizer`.

    Args:
        run: Settings of one of the runs.
        data: The `Data` of them.
    """

    def __init__(self, run, data):
        self.data = data
        self.augment = run["augment"]
        self.steps = data.training[1] // run["batch_size"]
        self.batch_size = run["batch_size"]
        shape = data.pixels.shape[1:]
        self.model = variants.build(run, shape, data.classes)
        self.quantizers = aqe.callbacks.find(self.model)
        self._shapes = variants.shapes(run, self.model)
        optimizer = getattr(keras.optimizers, run["optimizer"])
        # A number, so that it is a variable, which each step sets.
        self.optimizer = optimizer(0.0, **run["optimizer_arguments"])
        self.optimizer.build(self.model.trainable_variables)
        _pool_without_scatter(self.model)
        # Tests are of the network in float32, whatever it trains in.
        self.tested = variants.build(
            {**run, "dtype": "float32"}, shape, data.classes
        )
        self._build_teacher = functools.partial(
            variants.build,
            {**run, "bits": [32, 32], "stochastic": False},
            shape,
            data.classes,
        )
        rest = [id(v) for v in self.model.non_trainable_variables]
        self._alphas = [rest.index(id(q.alpha)) for q in self.quantizers]
        self._statistics = {
            rest.index(id(variable)): layer.momentum
            for layer in _normalizations(self.model)
            for variable in (layer.moving_mean, layer.moving_variance)
        }
        self._learning_rate = [
            variable is self.optimizer.learning_rate
            for variable in self.optimizer.variables
        ].index(True)
        if jax.default_backend() == "cpu":
            # XLA has fast convolutions there, but not inside of loops.
            self._steps = jax.jit(self._steps)
            self._step = jax.jit(self._step, donate_argnums=3)
            self._count = jax.jit(self._count)
            self._seen = jax.jit(self._seen)
            self._scan, self._repeat = _scan_by_calls, _repeat_by_calls
            self.epoch = self._epoch
            self.test = self._test
            self.recalibrated = self._recalibrated
        else:
            self._scan, self._repeat = jax.lax.scan, jax.lax.fori_loop
            self.epoch = jax.jit(self._epoch, donate_argnums=0)
            self.test = jax.jit(self._test)
            self.recalibrated = jax.jit(self._recalibrated)

    @functools.cached_property
    def teacher(self):
        """The same network in float."""
        return self._build_teacher()

    def start(self, model):
        """Returns the state at the start of a run.

        Args:
            model: The network with its first weights.
        """
        return {
            "trainable": _values(model.trainable_variables),
            "rest": _values(model.non_trainable_variables),
            "optimizer": _values(self.optimizer.variables),
        }

    def _epoch(self, state, data, settings, schedule, epoch, teacher):
        """Trains for an epoch.

        Args:
            state: The state of the run.
            data: `arrays` of the `Data`.
            settings: Of the run: `seed`, `forms` of the estimators, `smooth`
                of the labels, `decay` of the weights, one number each, and
                `share` of the teacher in the targets.
            schedule: `rate`, `alpha` of each quantizer and `keep`, see
                `_step`, at each step of the epoch.
            epoch: Number of the epoch, from 0.
            teacher: Values of the teacher's variables, `None` without one.

        Returns:
            The state, and the mean loss and accuracy of the steps.
        """
        steps = {**schedule, **self._steps(settings["seed"], epoch)}
        step = functools.partial(self._step, data, settings, teacher)
        state, (losses, hits) = self._scan(step, state, steps)
        return state, losses.mean(), hits.mean()

    def _steps(self, seed, epoch):
        """Which images the steps of an epoch see, and their random keys."""
        key = jax.random.fold_in(jax.random.key(seed), epoch)
        shuffled, augmented = jax.random.split(key)
        order = jax.random.permutation(shuffled, self.data.training[1])
        order = order[: self.steps * self.batch_size]
        return {
            "key": jax.random.split(augmented, self.steps),
            "index": order.reshape(self.steps, self.batch_size),
        }

    def _step(self, data, settings, teacher, state, now):
        images, labels = self._batch(data, now["index"], now["key"])
        targets = jax.nn.one_hot(labels, self.data.classes)
        smooth = settings["smooth"]
        targets = targets * (1 - smooth) + smooth / self.data.classes
        if teacher is not None:
            taught, _ = self.teacher.stateless_call(
                *teacher, images, training=False
            )
            share = settings["share"]
            taught = jax.nn.softmax(taught.astype(jnp.float32))
            targets = (1 - share) * targets + share * taught
        rest = list(state["rest"])
        for index, alpha in zip(self._alphas, now["alpha"]):
            rest[index] = alpha
        for index in self._statistics:
            # 0 where alpha has just become 1, see `settled`.
            rest[index] = rest[index] * now["keep"]

        def loss(trainable):
            logits, new_rest = self._call(trainable, rest, images, settings)
            likely = jax.nn.log_softmax(logits)
            return -(targets * likely).sum(-1).mean(), (logits, new_rest)

        (value, (logits, rest)), gradients = jax.value_and_grad(
            loss, has_aux=True
        )(state["trainable"])
        gradients = [
            # That of a loss with `decay / 2 * sum(variable^2)` added to it.
            gradient + decay * variable
            for gradient, decay, variable in zip(
                gradients, settings["decay"], state["trainable"]
            )
        ]
        optimizer = list(state["optimizer"])
        optimizer[self._learning_rate] = now["rate"]
        # It applies the constraints of the variables too.
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, state["trainable"]
        )
        state = {"trainable": trainable, "rest": rest, "optimizer": optimizer}
        return state, (value, (logits.argmax(-1) == labels).mean())

    def _call(self, trainable, rest, images, settings):
        """The network as it trains, by the estimators of the settings."""
        for quantizer, *form in zip(
            self.quantizers, settings["forms"], self._shapes
        ):
            quantizer.estimate = variants.estimator(*form)
        logits, rest = self.model.stateless_call(
            trainable, rest, images, training=True
        )
        return logits.astype(jnp.float32), rest

    def _batch(self, data, index, key):
        """Images, cropped and flipped at random and normalised, and labels."""
        labels = data["labels"][index]
        if not self.augment:
            return self._normalised(data, data["pixels"][index]), labels
        height, width = self.data.pixels.shape[1:3]
        crop, flip = jax.random.split(key)
        count = len(index)
        offsets = jax.random.randint(crop, (2, count, 1), 0, 2 * PADDING + 1)
        flip = jax.random.bernoulli(flip, 0.5, (count, 1))
        rows, columns = jnp.arange(height), jnp.arange(width)
        rows = rows + offsets[0] - PADDING
        columns = jnp.where(flip, width - 1 - columns, columns)
        columns = columns + offsets[1] - PADDING
        rows, columns = rows[:, :, None], columns[:, None, :]
        # A crop and a flip only choose rows and columns: one gather a batch.
        pixels = (
            data["pixels"]
            .at[index[:, None, None], rows, columns]
            .get(mode="clip")
        )
        inside = (rows >= 0) & (rows < height)
        inside &= (columns >= 0) & (columns < width)
        pixels = jnp.where(inside[..., None], pixels, 0)
        return self._normalised(data, pixels), labels

    @staticmethod
    def _normalised(data, pixels):
        return (pixels.astype(jnp.float32) - data["mean"]) / data["std"]

    def _test(self, state, data, part, batches):
        """Tests the hard network, in float32.

        Args:
            state: The state of the run, its statistics settled.
            data: `arrays` of the `Data`.
            part: First and last + 1 of the images.
            batches: Batches of `EVALUATED` images that they take.

        Returns:
            The mean loss and accuracy.
        """

        count = functools.partial(self._count, state, data, part)
        with jax.default_matmul_precision("highest"):
            sums = self._repeat(0, batches, count, [0.0, 0.0])
        return [total / (part[1] - part[0]) for total in sums]

    def _count(self, state, data, part, number, sums):
        """Adds losses and hits of one batch to the sums."""
        index = part[0] + number * EVALUATED + jnp.arange(EVALUATED)
        inside = index < part[1]
        index = jnp.minimum(index, part[1] - 1)
        images, labels = data["pixels"][index], data["labels"][index]
        logits, _ = self.tested.stateless_call(
            state["trainable"],
            state["rest"],
            self._normalised(data, images),
            training=False,
        )
        likely = jax.nn.log_softmax(logits)
        losses = -jnp.take_along_axis(likely, labels[:, None], -1)[:, 0]
        hits = logits.argmax(-1) == labels
        return [
            total + jnp.where(inside, values, 0).sum()
            for total, values in zip(sums, (losses, hits))
        ]

    def settled(self, state, hard_steps):
        """Returns the state with the statistics of hard steps alone.

        As `keras_aqe.callbacks.AlphaScheduler` does it: the moving averages
        began at 0 when alpha became 1, so that after `n` steps with momentum
        `m` they are `1 - m^n` of what they average.

        Args:
            state: The state of the run.
            hard_steps: How many steps that is ago; 0 if it did not become 1.
        """
        rest = list(state["rest"])
        if hard_steps:
            for index, momentum in self._statistics.items():
                rest[index] = rest[index] / (1 - momentum**hard_steps)
        return {**state, "rest": rest}

    def _recalibrated(self, state, data, starts):
        """Returns the state with the statistics of the hard network.

        The exact mean and variance of what each batch normalisation sees, as
        in `keras_aqe.recalibrate`.

        Args:
            state: The state of the run.
            data: `arrays` of the `Data`.
            starts: The first image of each batch of training images.
        """
        seen = functools.partial(self._seen, state, data)
        with jax.default_matmul_precision("highest"):
            _, seen = self._scan(seen, None, starts)
        rest = list(state["rest"])
        indices = list(self._statistics)
        for mean, variance, means, variances in zip(
            indices[::2], indices[1::2], seen[::2], seen[1::2]
        ):
            rest[mean] = means.mean(0)
            # Of a union: the mean variance and the variance of the means.
            rest[variance] = variances.mean(0) + means.var(0)
        return {**state, "rest": rest}

    def _seen(self, state, data, carry, start):
        """Mean and variance of what each batch normalisation sees."""
        size = min(EVALUATED, self.data.training[1])
        pixels = data["pixels"][start + jnp.arange(size)]
        with _by_the_batch(self.tested):
            _, rest = self.tested.stateless_call(
                state["trainable"],
                state["rest"],
                self._normalised(data, pixels),
                training=False,
            )
        return carry, [rest[index] for index in self._statistics]


def _scan_by_calls(step, carry, steps):
    """`jax.lax.scan` as a loop of Python."""
    results = []
    leaves, tree = jax.tree.flatten(steps)
    for now in zip(*leaves):
        carry, result = step(carry, jax.tree.unflatten(tree, now))
        results.append(result)
    return carry, jax.tree.map(lambda *each: jnp.stack(each), *results)


def _repeat_by_calls(first, stop, step, carry):
    """`jax.lax.fori_loop` as a loop of Python."""
    for number in range(first, int(stop)):
        carry = step(number, carry)
    return carry


def structure(run):
    """A string that is equal for runs that one `Program` does for."""
    return runs.key({**runs.DEFAULTS, **{n: run[n] for n in STRUCTURE}})


def _values(variables):
    return [jnp.array(variable.value) for variable in variables]


def _normalizations(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


@contextlib.contextmanager
def _by_the_batch(model):
    """Batch normalisation by the batch, whose statistics it keeps."""
    layers = _normalizations(model)
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
        layer.call = functools.partial(_call_in_training, layer.call)
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta):
            layer.momentum = momentum
            del layer.call


def _call_in_training(call, inputs, training=None, **kwargs):
    return call(inputs, training=True, **kwargs)


def _pool_without_scatter(model):
    """Lets max pooling of 2x2 pixels choose by comparisons.

    The gradient of a window's maximum is a scatter, which is slow on a GPU;
    that of comparisons is none, and goes to the first of equal values too.
    """
    for layer in model._flatten_layers():
        if (
            isinstance(layer, keras.layers.MaxPooling2D)
            and layer.padding == "valid"
            and layer.pool_size == layer.strides == (2, 2)
        ):
            layer.call = _pooled


def _pooled(images):
    count, height, width, channels = images.shape
    height, width = height // 2, width // 2
    cells = images[:, : 2 * height, : 2 * width]
    cells = cells.reshape(count, height, 2, width, 2, channels)
    for axis in (4, 2):
        first, second = jnp.split(cells, 2, axis)
        cells = jnp.where(first >= second, first, second)
    return cells.reshape(count, height, width, channels)
