"""`target="packed"`: N bits a weight, for the runtime's XNOR and SHIFT."""

import collections
import dataclasses

import keras
import numpy as np
import tensorflow as tf

from keras_aqe.converters.file.codes import Stored
from keras_aqe.converters.graph import folding
from keras_aqe.converters.graph import nodes as g
from keras_aqe.converters.graph.known import (
    is_known,
    is_reshape,
)
from keras_aqe.converters.targets.emitter import Emitter
from keras_aqe.converters.targets.packed import (
    fits,
    forms,
    outputs,
    packing,
    pooling,
    stages,
)
from keras_aqe.converters.targets.packed import operators as ops

_UPSAMPLINGS = (keras.layers.UpSampling1D, keras.layers.UpSampling2D)
# float32 holds whole numbers up to here.
_EXACT = 2**24
_PIXELWISE = g.Window((1, 1), (1, 1), ((0, 0), (0, 0)))


def emit(graph, options):
    """Writes a graph with the operators of docs/format.md.

    Args:
        graph: A `nodes.Graph`.
        options: A `target.Options`.

    Returns:
        What `Emitter.to_model` does.
    """
    return PackedEmitter(graph).model()


class PackedEmitter(Emitter):
    """Writes sums, thresholds and pools of codes as custom operators.

    A node of codes has two forms: `codes(node)` is packed, and `tensor(node)`
    holds them as float32 for whatever no custom operator does.

    Args:
        graph: A `nodes.Graph`.
    """

    prefix = ops.PREFIX

    def __init__(self, graph):
        super().__init__(graph)
        self._uses = collections.Counter(graph.outputs)
        for node in graph.nodes:
            self._uses.update(node.sources())
        self._stages = stages.find(
            graph, self._is_scaled_sum, self._is_in_a_stage, _is_folded
        )
        self._quantized = {
            quantizer: node
            for node, stage in self._stages.items()
            for quantizer in stage.quantizers
        }

    def write(self, node):
        # Whether anything needs another form is not known yet.
        if fits.is_codes(node):
            self._native_codes(node)

    def codes(self, node):
        """The packed codes of a node.

        Those of a flattened node keep the shape from before: a dense layer
        reads pixel after pixel, however they lie.
        """
        codes = self._native_codes(node)
        if codes is not None:
            return codes
        key = ("packed", node)
        if key not in self._tensors:
            self._tensors[key] = self._packed(node, self.tensor(node))
        return self._tensors[key]

    def stored(self, node):
        if ("shifted", node) in self._tensors:
            shift, codes = self._tensors["shifted", node]
            yield Stored((codes.tensor,), offset=float(shift.by))
        for form in ("native", "packed"):
            codes = self._tensors.get((form, node))
            if codes is not None:
                yield Stored((codes.tensor,), channels=codes.channels)
        yield from super().stored(node)

    def tensor(self, node):
        if node not in self._tensors and fits.is_codes(node):
            codes = self._native_codes(node)
            if codes is not None:
                self._tensors[node] = _dequantized(node, codes, 1.0)
        return super().tensor(node)

    def value(self, node):
        if fits.is_codes(node):
            codes = self._native_codes(node)
            if codes is not None:
                return _dequantized(node, codes, node.unit)
        if self._is_fused(node) and _takes_offset(node, None):
            with self._scope(node):
                return self._fused_value(node)
        return super().value(node)

    def _fused_value(self, node):
        bias = 0.0 if node.bias is None else node.bias
        output = ops.to_float(node.shape[-1], node.unit, bias, node.offset)
        x = self._sum(node, output, node.kernel)
        x = ops.reshape(x, node.shape)
        return x if node.activation is None else node.activation(x)

    # Codes.

    def _native_codes(self, node):
        """Packed codes, or `None` where only `tensor` can hold them."""
        key = ("native", node)
        if key not in self._tensors:
            with self._scope(node):
                self._tensors[key] = self._write_codes(node)
        return self._tensors[key]

    def _write_codes(self, node):
        if not fits.is_packed(node):
            return None
        if isinstance(node, g.Threshold):
            return self._write_compared_sum(node)
        if isinstance(node, g.Quantize):
            return self._write_packed_quantize(node)
        if isinstance(node, g.Shift):
            return self._write_shifted_quantize(node)
        if isinstance(node, g.Apply):
            source = forms.only_source(node)
            if source is None or not fits.is_packed(source):
                return None
            if pooling.is_max(node.operation, source.shape):
                return self._max_pool(self.codes(source), source.shape, node)
            if is_reshape(node.operation):
                return self._moved(node)
            if forms.moves_pixels(node):
                return self._moved_pixels(node)
        if isinstance(node, g.Pad) and forms.pads_by_zero_words(node):
            codes = self.codes(node.source)
            padded = tf.pad(codes.tensor, node.pads)
            return dataclasses.replace(codes, tensor=padded)
        return None

    def _max_pool(self, codes, shape, node):
        codes = ops.reshape(codes, _as_image(shape))
        codes = ops.max_pool(codes, pooling.window(node.operation, shape))
        return ops.reshape(codes, node.shape)

    def _moved(self, node):
        codes = self.codes(node.args[0])
        if len(node.shape) == 2:
            return codes
        if node.shape[-1] != codes.channels:
            return None
        return ops.reshape(codes, node.shape)

    def _moved_pixels(self, node):
        codes, layer = self.codes(node.args[0]), node.operation
        if is_known(layer, _UPSAMPLINGS):
            # What Keras writes for it computes in the type of codes.
            moved = codes.tensor
            for axis, times in enumerate(np.ravel(layer.size).tolist(), 1):
                moved = ops.repeat(moved, axis, times)
        else:
            moved = self._applied(node, lambda _: codes.tensor)
        return dataclasses.replace(codes, tensor=moved)

    def _write_packed_quantize(self, node):
        if node in self._quantized:
            return self._staged(self._quantized[node])[1][node]
        chain, source = folding.chain_of(node.source, pools=False)
        if forms.is_compared(node):
            return self._write_compared_value(node)
        factor = 1 / node.unit
        codes = None
        if node.bits == 8:
            codes = self._rounded(node.source, factor)
            if codes is None and forms.parts(source) != [source]:
                output = outputs.rounded_floats(node, chain)
                if output is not None:
                    return ops.quantize(self._values_of_parts(source), output)
        if codes is None:
            x = self.value(node.source)
            if node.bits < 8:
                # They end before those of the format.
                low, high = np.float32(node.levels[[0, -1]] * node.unit)
                x = tf.clip_by_value(x, low, high)
            codes = ops.quantize([x], ops.to_rounded(x.shape[-1], factor))
        return codes

    def _write_shifted_quantize(self, node):
        """Codes without a sign as signed ones, `None` if no quantizer's."""
        source = node.source
        if not isinstance(source, g.Quantize) or forms.is_compared(source):
            return None
        if node in self._quantized:
            codes = self._staged(self._quantized[node])[1][node]
        else:
            x = self.value(source.source)
            codes = ops.quantize([x], outputs.of_floats(node, []))
        self._tensors["shifted", source] = node, codes
        return codes

    def _write_compared_value(self, node):
        """Layers in front of a quantizer and the quantizer as one operator."""
        chain, source = folding.chain_of(node.source, pools=False)
        if forms.is_average_of_codes(source):
            output = outputs.compared_average(node, chain, source)
            if output is not None:
                return self._average_pool(source, output, node.shape)
        x = self._values_of_parts(source)
        return ops.quantize(x, outputs.compared_floats(node, chain))

    def _values_of_parts(self, node):
        """The values whose channels, one's behind the other's, are a node's.

        Quantizers read what is concatenated where it was written.
        """
        parts = forms.parts(node)
        if parts == [node]:
            return [self.value(node)]
        for part in parts:
            # Each is written once, for however many concatenations.
            if ("part", part) not in self._tensors:
                self._tensors["part", part] = self.value(part)
        return [self._tensors["part", part] for part in parts]

    def _packed(self, node, x):
        """Packs codes that a float tensor holds."""
        if packing.width(node.levels) == 8:
            return ops.quantize([x], ops.to_rounded(x.shape[-1], 1.0))
        return self._compared(node, x, node.levels[1:, None] - 0.5)

    def _compared(self, node, x, thresholds, direction=1):
        thresholds = np.broadcast_to(thresholds, (len(thresholds), x.shape[-1]))
        fit = packing.float_thresholds
        return ops.quantize(
            [x], outputs.to_codes(node, thresholds, direction, fit)
        )

    # Sums.

    def _is_fused(self, node):
        """Whether a sum is written together with the one use it has."""
        return (
            isinstance(node, g.Sum)
            and fits.is_packable(node)
            and len(fits.pieces(node)) == 1
            and self._uses[node] == 1
        )

    def _write_sum(self, node):
        if fits.is_packable(node):
            x = tf.add_n(
                [
                    self._sum(node, outputs.to_float(node, factor), kernel)
                    for kernel, factor in fits.pieces(node)
                ]
            )
            return ops.reshape(x, node.shape)
        return super()._write_sum(node)

    def _write_compared_sum(self, node):
        """A sum, max pools and the comparison as one operator, or more."""
        source = node.source
        pools, turns = fits.orientations(node.steps)
        shapes = [source.shape]
        for pool in pools:
            shapes.append(pool.compute_output_shape(shapes[-1]))
        here = pools[:1] if source.window is not None else []
        later = pools[len(here) :]
        # Pools of codes take the greatest, so the code has to rise there.
        if (
            not self._is_fused(source)
            or not all(map(pooling.is_max, pools, shapes))
            or any((turns[-1] != t).any() for t in turns[len(here) : -1])
        ):
            x = self.tensor(source)
            for step in node.steps:
                x = step(x) if callable(step) else x * step
            return self._compared(node, x, node.thresholds)
        fit = packing.float_thresholds
        if fits.reads_codes(source):
            fit = packing.whole_thresholds
        direction = turns[-1] * turns[0]
        output = outputs.to_codes(node, node.thresholds, direction, fit)
        kernel = source.kernel * turns[0]
        codes = self._sum(source, output, kernel, *here)
        for pool, shape in zip(later, shapes[len(here) :]):
            codes = ops.max_pool(codes, pooling.window(pool, shape))
        return ops.reshape(codes, node.shape)

    def _sum(self, node, output, kernel, pool=None):
        """Writes a packed sum with a kernel of the shape of its own.

        Sequences stay images of one row.
        """
        x, pads, image = self._source(node)
        window = node.window
        if window is not None:
            window = dataclasses.replace(window, pads=pads)
        elif len(node.shape) > 2:
            kernel, window = kernel[None, None], _PIXELWISE
        return ops.weighted_sum(
            x,
            kernel,
            packing.width(kernel, node.weight_bits),
            output,
            _as_image(node.shape),
            window,
            None if pool is None else pooling.window(pool, node.shape),
            image,
        )

    def _source(self, node):
        """What a sum reads: its tensor, what is left to pad, image scale."""
        source, window = node.source, node.window
        shape = _as_image(source.shape)
        pads = () if window is None else window.pads
        if window is not None and fits.pads_outside(node):
            x = self.tensor(source)
            x = tf.pad(
                ops.reshape(x, shape),
                [(0, 0), *pads, (0, 0)],
                constant_values=window.pad_code,
            )
            if fits.reads_codes(node):
                x = self._packed(source, x)
            return x, _PIXELWISE.pads, ()
        if fits.reads_pixels(node):
            x = self.tensor(source.pixels)
            return x, pads, (source.scale, source.offset)
        if fits.reads_codes(node):
            x = self.codes(source)
            # A dense layer takes the pixels in any shape.
            return x if len(shape) == 2 else ops.reshape(x, shape), pads, ()
        read = self.tensor if source.is_image else self.value
        return ops.reshape(read(source), shape), pads, ()

    # Floats that come from sums or from codes.

    def _is_scaled_sum(self, node):
        scaled = self._scaled_source(node)
        return scaled is not None and isinstance(scaled[0], g.Sum)

    def _is_in_a_stage(self, node, chain):
        return fits.is_packed(node) and (
            (isinstance(node, g.Quantize) and forms.is_compared(node))
            or outputs.of_floats(node, chain) is not None
        )

    def _staged(self, node):
        """The floats of a stage, or `None`, and the codes of its quantizers."""
        key = ("stage", node)
        if key not in self._tensors:
            stage = self._stages[node]
            source, pool, constants = self._scaled_source(stage.branch)
            output = ops.to_float(node.shape[-1], *constants)
            if stage.addend is not None:
                addend = self.value(stage.addend)
                output = ops.added(
                    output, ops.reshape(addend, _as_image(node.shape))
                )
            if stage.limits is not None:
                output = ops.limited(output, stage.limits)
            quantizers = [
                outputs.of_floats(quantizer, chain)
                for quantizer, chain in stage.quantizers.items()
            ]
            output = ops.quantized(output, quantizers, stage.keeps_floats)
            # The layer's, whose operator it is.
            with self._scope(source):
                results = self._sum(source, output, source.kernel, pool)
                floats, codes = results if quantizers else (results, [])
                if floats is not None:
                    floats = ops.reshape(floats, node.shape)
                codes = [ops.reshape(each, node.shape) for each in codes]
                self._tensors[key] = floats, dict(zip(stage.quantizers, codes))
        return self._tensors[key]

    def _write_apply(self, node):
        if node in self._stages:
            return self._staged(node)[0]
        if forms.parts(node) != [node]:
            return tf.concat(self._values_of_parts(node), axis=-1)
        scaled = self._scaled_source(node)
        if scaled is None:
            return super()._write_apply(node)
        source, pool, constants = scaled
        output = ops.to_float(node.shape[-1], *constants)
        return self._write_scaled(node, source, pool, output)

    def _rounded(self, node, factor):
        """What `_write_apply` writes as codes of 8 bits, `factor` times it.

        The factor is a power of two, which changes no rounding; what hard tanh
        cuts off lies beyond the codes; and the greatest value has the greatest
        code.
        """
        if self._uses[node] != 1:
            return None
        scaled = self._scaled_source(node)
        if scaled is not None:
            source, pool, (scale, bias, offset) = scaled
            scale, bias = np.float32(factor) * scale, np.float32(factor) * bias
            if not (np.isfinite(scale).all() and np.isfinite(bias).all()):
                return None
            output = ops.to_rounded(node.shape[-1], scale, bias, offset)
            return self._write_scaled(node, source, pool, output)
        if not isinstance(node, g.Apply):
            return None
        layer, source = node.operation, forms.only_source(node)
        if source is None:
            return None
        if folding.is_hard_tanh(layer):
            return self._rounded(source, factor)
        if pooling.is_max(layer, source.shape):
            codes = self._rounded(source, factor)
            if codes is not None:
                return self._max_pool(codes, source.shape, node)
        return None

    def _write_scaled(self, node, source, pool, output):
        if isinstance(source, g.Sum):
            x = self._sum(source, output, source.kernel, pool)
            return ops.reshape(x, node.shape)
        return self._average_pool(source, output, node.shape)

    def _average_pool(self, node, output, shape):
        source = node.args[0]
        codes = ops.reshape(self.codes(source), _as_image(source.shape))
        window = pooling.window(node.operation, source.shape)
        return ops.reshape(ops.average_pool(codes, window, output), shape)

    def _scaled_source(self, node):
        """What one operator can hold of a sum, a max pool and a scale.

        In the place of sum and pool may be an average pool of codes; the scale
        is batch normalisation or a power of two, and may stand in front of the
        pool if it is above 0, since the greatest stays the greatest then.

        Returns:
            The sum, the pooling layer or `None`, and the scale, bias and
            offset of each channel. `None` if the node is something else.
        """
        norm = pool = None
        source, factor = node, 1.0
        if forms.is_max_of_floats(node):
            return self._pooled_scale(node)
        if isinstance(source, g.Apply):
            if folding.is_batch_norm(source.operation):
                norm, source = source.operation, source.args[0]
            elif scale := folding.power_of_two(source.operation):
                factor, source = scale, source.args[0]
        if source is not node and self._uses[source] != 1:
            return None
        if forms.is_average_of_codes(source):
            unit, bias = source.args[0].unit, None
        else:
            pooled = forms.only_source(source)
            if pooled is not None and (
                isinstance(source, g.Apply)
                and pooling.is_max(source.operation, pooled.shape)
            ):
                pool, source = source.operation, pooled
            if not self._is_fused(source) or not _takes_offset(source, norm):
                return None
            if source.activation is not None:
                return None
            if pool is not None and source.window is None:
                return None
            unit, bias = source.unit, source.bias
        constants = outputs.scaling(
            np.float32(unit), bias, norm, np.float32(factor)
        )
        if getattr(source, "offset", None) is not None:
            constants = (*constants[:2], np.float32(source.offset))
        return source, pool, constants

    def _pooled_scale(self, node):
        """`_scaled_source` where the pool is behind the scale."""
        (pooled,) = node.args
        scaled = self._scaled_source(pooled)
        if scaled is None or self._uses[pooled] != 1:
            return None
        source, pool, constants = scaled
        if (
            pool is not None
            or not isinstance(source, g.Sum)
            or source.window is None
            or not np.all(constants[0] > 0)
        ):
            return None
        return source, node.operation, constants


def _is_folded(node):
    """Whether what stands in front of a quantizer's codes is part of them.

    Thresholds take in all layers, and codes by rounding hard tanh, beyond which
    they have none.
    """
    if isinstance(node, g.Shift):
        return False
    source = node.source
    return (
        not fits.is_packed(node)
        or forms.is_compared(node)
        or not isinstance(source, g.Apply)
        or folding.is_hard_tanh(source.operation)
        or folding.limits(source.operation) is None
    )


def _takes_offset(node, norm):
    """Whether a sum's offset, if any, is one that floats are added exactly."""
    if node.offset is None:
        return True
    largest = np.abs(node.levels).max() + np.abs(node.offset).max()
    return largest <= _EXACT and (norm is None or node.bias is None)


def _dequantized(node, codes, unit):
    return ops.reshape(ops.dequantize(codes, unit), node.shape)


def _as_image(shape):
    """A shape with two axes for rows and columns, if it has any."""
    if len(shape) in (2, 4):
        return shape
    return (shape[0], 1, int(np.prod(shape[1:-1])), shape[-1])
