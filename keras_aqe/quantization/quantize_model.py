"""A float model made a quantized one."""

import dataclasses
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_aqe import quantizers
from keras_aqe.cloning import clone
from keras_aqe.copy_weights import copy_weights
from keras_aqe.graph import functional
from keras_aqe.multiplying import kernels
from keras_aqe.quantization import ranges
from keras_aqe.quantization.choices import (
    FORMS,
    Choice,
    Key,
    Override,
    Overrides,
    is_depthwise,
    reason_to_keep,
)
from keras_aqe.quantization.models import (
    QuantizedModel,
    QuantizedSequential,
)
from keras_aqe.quantization.report import (
    QuantizationReport,
    QuantizedLayer,
    describe,
)
from keras_aqe.quantization.sites import find, measure


def quantize_model(
    model: keras.Model,
    input_bits: int,
    weight_bits: int,
    *,
    first_last_bits: int | tuple[int, int] | None = 32,
    depthwise_bits: int | tuple[int, int] | None = (8, 4),
    skip: Key | Iterable[Key] = (),
    overrides: Mapping[Key, Override] | None = None,
    data: Any = None,
    estimator: str = "aqe_ste",
) -> keras.Model:
    """Returns the quantized twin of a float model, with its weights.

    Each `Conv1D`, `Conv2D`, `Conv3D`, `Conv2DTranspose`, `DepthwiseConv2D`,
    `SeparableConv2D` and `Dense` becomes its quantized layer of the same name,
    arguments and weights; everything else is copied as it is. To train on
    (`docs/float_models.md`), compile the twin and fit it with
    `keras_aqe.callbacks.AlphaScheduler`: at alpha = 0 it would be the float
    model, at 1 it is the hard one.

    - *Quantizers stand right in front of their layer*, so that batch
      normalisation and activation keep their places and what a shortcut
      carries is never quantized (Liu et al., 2018, "Bi-Real net").
    - *Behind a ReLU*, or whatever else returns nothing below 0, inputs get
      unsigned levels, `0, 1, ...`, where signed ones would waste half of
      theirs. At 1 bit these are 0 and 1 (Zhou et al., 2016, "DoReFa-Net"); a
      sign would be +1 throughout. Other inputs are signed.
    - *Depthwise layers are wider*: they add up no more products than their
      window has places, so that few levels make few sums, and hold a few
      hundredths of the weights.
    - *Each quantizer has a scale*, the power of two that brings its levels
      nearest to the kernel's weights and to the input's values, as the factor
      of XNOR-Net (Rastegari et al., 2016) does, and thresholds are fixed
      midpoints. So blends are near to the float network from the first step
      on, sums keep their size where no batch normalisation follows, and
      latent weights are clipped at the outermost level, not far beyond it.

    Args:
        model: A built Functional or Sequential model; nested ones, shared
            layers and dictionaries of inputs are kept. It is left as it is.
        input_bits: Width of the layers' inputs: 1, 2, 3, 4, 8, 16 or 32 (not
            quantized). The model's own inputs (images) are quantized only
            where `overrides` gives an `input_quantizer`.
        weight_bits: Width of the kernels: 1, 2, 3, 4, 8, 16 or 32.
        first_last_bits: Width, or widths of input and kernel, of the first
            layers (with no trained layer before them) and the last (with no
            layer of a quantized form behind them). `None` treats them as all
            others.
        depthwise_bits: Width, or widths of input and kernel, that depthwise
            layers have at least: `DepthwiseConv2D`, and convolutions with a
            group for each channel. `None` treats them as all others.
        skip: Layers that stay float: names, paths in nested models
            ("inner/conv"), nested models' paths, patterns of these
            ("block*_expand") or classes (`keras.layers.DepthwiseConv2D`), or
            one such key.
        overrides: `{key: override}` with keys as in `skip`. An override is a
            width, a pair of widths (input, kernel), a dictionary with any of
            `input_quantizer`, `kernel_quantizer` (names get a scale,
            quantizers are taken as they are, each layer its copy) and
            `pad_value`, or `None` for float. Names go before patterns and
            patterns before classes; all go before `first_last_bits`, and that
            before `depthwise_bits`.
        data: Inputs of one batch of training examples, in the structure that
            the model takes, by which scales of inputs are measured. `None`
            takes batch normalisation's beta and gamma for mean and deviation,
            and 0 and 1 where there is none.
        estimator: Of all quantizers, see `keras_aqe.estimators`. `"aqe_ste"`
            is `"aqe"` without the factor `2 * alpha` of its gradient, which
            multiplies from quantizer to quantizer and would drown, in deep
            twins, what comes through shortcuts.

    Returns:
        A model of the same kind, not compiled. Its attribute
        `quantization_report` is a `keras_aqe.quantization.QuantizationReport`:
        what became what and why; print it. (It is no part of saved files.)

    Raises:
        ValueError: If the model is not built, or not Functional or Sequential,
            if an argument is not as above, if a key matches no layer, or if an
            override gives a sign to inputs that are never below 0.

    Example:

    ```pycon
    >>> model = keras.Sequential([
    ...     keras.Input((8, 8, 3)),
    ...     keras.layers.Conv2D(8, 3, name="first"),
    ...     keras.layers.BatchNormalization(),
    ...     keras.layers.ReLU(),
    ...     keras.layers.Conv2D(8, 3, name="inner"),
    ...     keras.layers.Flatten(),
    ...     keras.layers.Dense(10, name="last"),
    ... ])
    >>> twin = quantize_model(model, input_bits=2, weight_bits=1)
    >>> twin.get_layer("inner").input_quantizer.levels
    array([0. , 0.5, 1. , 1.5], dtype=float32)
    >>> [row.path for row in twin.quantization_report.quantized]
    ['inner']

    ```
    """
    graph = functional(model, "quantize_model")
    _check_width(input_bits, "input_bits")
    _check_width(weight_bits, "weight_bits")
    chosen = Overrides(skip, overrides)
    sites = find(graph)
    usual = Choice(input_bits, weight_bits)
    edge = _widths(first_last_bits, "first_last_bits")
    least = _widths(depthwise_bits, "depthwise_bits")
    choices = {
        key: _choose(site, chosen, usual, edge, least)
        for key, site in sites.items()
        if not reason_to_keep(site.layer)
    }
    chosen.check_matched([sites[key].path for key in choices])
    if data is not None:
        measure(graph, data, sites)
    copies = {}

    def copy(layer):
        choice = choices.get(id(layer))
        if choice is None or choice.is_float:
            copies[id(layer)] = type(layer).from_config(layer.get_config())
        else:
            copies[id(layer)] = _quantized(sites[id(layer)], choice, estimator)
        return copies[id(layer)]

    twin = clone(model, copy, (QuantizedModel, QuantizedSequential))
    copy_weights(model, twin)
    twin.quantization_report = QuantizationReport(
        model.name,
        [
            _row(site, copies[key], choices.get(key))
            for key, site in sites.items()
        ],
    )
    return twin


def _widths(given, argument):
    """The choice that an argument of one or two widths makes, if any."""
    if given is None:
        return None
    if isinstance(given, numbers.Integral):
        given = given, given
    if not isinstance(given, (list, tuple)) or len(given) != 2:
        raise ValueError(
            f"`{argument}` must be a width, a pair of widths (input, kernel) "
            f"or None. Received: {given!r}"
        )
    for bits in given:
        _check_width(bits, argument)
    return Choice(*given)


def _check_width(bits, argument):
    try:
        quantizers.of_width(bits)
    except ValueError as error:
        raise ValueError(f"`{argument}`: {error}") from None


def _choose(site, overrides, usual, edge, least):
    choice = overrides.find(site.path, site.layer)
    if choice is None:
        choice = usual
        if edge is not None and (site.is_first or site.is_last):
            note = "first layer" if site.is_first else "last layer"
            choice = dataclasses.replace(edge, note=note)
        elif least is not None and is_depthwise(site.layer):
            choice = Choice(
                max(usual.input, least.input),
                max(usual.kernel, least.kernel),
                "depthwise layer",
            )
    if site.is_first and not choice.quantizes_image:
        choice = dataclasses.replace(choice, input=32)
    return choice


def _quantized(site, choice, estimator):
    """The quantized layer in place of a float one, with fresh weights."""
    layer, form = site.layer, FORMS[type(site.layer)]
    config = layer.get_config()
    for constraint in form.kernel_constraints.values():
        # The quantized layer's own default goes before none.
        if config[constraint] is None:
            del config[constraint]
    config |= choice.more
    config["input_quantizer"] = _quantizer(
        choice.input,
        np.concatenate(site.measured or site.samples),
        estimator,
        signed=not site.is_unsigned,
    )
    config["kernel_quantizer"] = _quantizer(
        choice.kernel,
        np.concatenate(
            [
                np.ravel(keras.ops.convert_to_numpy(kernel))
                for kernel in kernels(layer)
            ]
        ),
        estimator,
    )
    _check_sign(site, config["input_quantizer"])
    return form.from_config(config)


def _quantizer(given, values, estimator, signed=True):
    """A quantizer of its own for one input or kernel, in its range."""
    if not isinstance(given, (numbers.Integral, str)):
        return quantizers.get(quantizers.serialize(quantizers.get(given)))

    def make(**kwargs):
        if isinstance(given, str):
            return quantizers.get(given, estimator=estimator, **kwargs)
        return quantizers.of_width(given, signed, estimator=estimator, **kwargs)

    quantizer = make()
    if quantizer is None or quantizer.bits == 16:
        return quantizer
    fixed = {}
    if isinstance(quantizer, quantizers.PowerOfTwo):
        # The scale is that of the kernel, and the nearest level is best.
        fixed = {"relative": False}
        quantizer = make(**fixed)
    return make(scale=ranges.best_scale(quantizer, values), **fixed)


def _check_sign(site, quantizer):
    if quantizer is None or not site.is_unsigned:
        return
    if len(quantizer.levels) == 2 and quantizer.levels[0] < 0:
        raise ValueError(
            f"Layer {site.path!r} has inputs that are never below 0, as a "
            f"ReLU leaves them, so {type(quantizer).__name__} would make "
            "all of them the same. Give it 'unsigned_1'."
        )


def _row(site, layer, choice):
    """The report's row of a layer and what it became."""
    quantizer = getattr(layer, "input_quantizer", None)
    kernel_quantizer = getattr(layer, "kernel_quantizer", None)
    note = reason_to_keep(site.layer) if choice is None else choice.note
    return QuantizedLayer(
        path=site.path,
        before=type(site.layer).__name__,
        after=type(layer).__name__,
        input_bits=32 if quantizer is None else quantizer.bits,
        input_quantizer=describe(quantizer),
        weight_bits=32 if kernel_quantizer is None else kernel_quantizer.bits,
        kernel_quantizer=describe(kernel_quantizer),
        note=note,
    )
