"""Runs damaged packed files: `python -m tests.runtime.fuzz`
with a library, a number of files and a seed.

Options, constants, shapes, types and connections are mutated; the flatbuffer
around them stays whole, since reading that is the interpreter's part. A file
must run or be refused; started under AddressSanitizer, anything else ends
the process.
"""

import collections
import copy
import sys

import numpy as np
from ai_edge_litert.interpreter import (
    Interpreter,
    OpResolverType,
    load_delegate,
)
from flatbuffers import flexbuffers

from tests.runtime.networks import small_network
from tests.runtime.packed_files import (
    PackedFile,
    pool_options,
    window_options,
)

_SIZES = (0, 1, 2, 3, 5, 8, 14, 63, 64, 65, 80, 100, 128, 200)
_NUMBERS = (-(2**31), -129, -1, *_SIZES, 2**15, 2**20, 2**31 - 1, 2**40)


def zoo():
    """A file of every operator, and networks of several widths."""
    for widths in ((1, 1), (2, 3), (3, 3), (4, 2), (8, 4)):
        yield small_network(*widths, size=8, channels=20)
    for bits in (1, 2, 3, 4):
        file = PackedFile()
        source = file.tensor((1, 6, 6, 70), np.float32)
        levels = 1 if bits == 1 else 2**bits - 2
        thresholds = np.arange(levels)[:, None].repeat(70, 1)
        output = [
            file.constant(thresholds.astype(np.float32)),
            file.constant(np.ones(70, np.int8)),
        ]
        shape = (1, 6, 6, 2 * bits)
        codes = file.tensor(shape, np.int64)
        common = {"format": 1, "input_channels": 70}
        file.operator(
            "AqeQuantize",
            [source, *output],
            [codes],
            common | {"output_bits": bits},
        )
        common["input_bits"] = bits
        scales = [file.constant(np.ones(70, np.float32)) for _ in range(2)]
        pool = pool_options((2, 3), (2, 1), "SAME")
        pooled = file.tensor((1, 3, 6, 2 * bits), np.int64)
        file.operator("AqeMaxPool2D", [codes], [pooled], common | pool)
        depthwise = file.tensor((1, 3, 6, 140), np.float32)
        weights = file.constant(np.zeros((bits, 140 * 9 // 8 + 1), np.uint8))
        double = [file.constant(np.ones(140, np.float32)) for _ in range(2)]
        file.operator(
            "AqeDepthwiseConv2D",
            [pooled, weights, *double],
            [depthwise],
            common
            | {
                "weight_bits": bits,
                "output_bits": 32,
                "depth_multiplier": 2,
                **window_options((3, 3), (1, 1), (1, 1), "SAME"),
            },
        )
        mean = file.tensor((1, 3, 6, 70), np.float32)
        file.operator(
            "AqeAveragePool2D",
            [codes, *scales],
            [mean],
            common | pool | {"output_bits": 32},
        )
        rounded = file.tensor((1, 3, 6, 70), np.int8)
        file.operator(
            "AqeAveragePool2D",
            [codes, *scales, scales[0]],
            [rounded],
            common | pool | {"output_bits": 8, "rounding": 1, "offset": 1},
        )
        fewer = file.tensor((1, 3, 6, 70), np.int8)
        thresholds = np.arange(2**bits - 1)[:, None].repeat(70, 1)
        whole = pool_options((2, 1), (2, 1), "VALID")
        file.operator(
            "AqeAveragePool2D",
            [
                codes,
                file.constant(thresholds.astype(np.int32)),
                file.constant(np.ones(70, np.int8)),
            ],
            [fewer],
            common
            | whole
            | {
                "format": 2,
                "output_bits": 8,
                "code_bits": bits,
                "first_code": -bits,
            },
        )
        real = file.tensor((1, 6, 6, 70), np.float32)
        file.operator("AqeDequantize", [codes, *scales], [real], common)
        sums = _sums(file, codes, real, bits)
        parts = _parts(file, [source, sums[0], real], bits)
        yield (
            file,
            source,
            [pooled, depthwise, mean, rounded, fewer, real, *sums, *parts],
        )


def _parts(file, parts, bits):
    """Quantizers of tensors of 70 channels side by side; their codes."""
    rng = np.random.default_rng(bits)
    channels = 70 * len(parts)
    common = {"format": 4, "parts": len(parts), "input_channels": channels}
    levels = 1 if bits == 1 else 2**bits - 2
    thresholds = np.sort(rng.normal(size=(levels, channels)), axis=0)
    compared = file.tensor((1, 6, 6, -(-channels // 64) * bits), np.int64)
    file.operator(
        "AqeQuantize",
        [
            *parts,
            file.constant(thresholds.astype(np.float32)),
            file.constant(rng.choice([-1, 1], channels).astype(np.int8)),
        ],
        [compared],
        common | {"output_bits": bits},
    )
    rounded = file.tensor((1, 6, 6, channels), np.int8)
    file.operator(
        "AqeQuantize",
        [
            *parts,
            file.constant(rng.normal(size=channels).astype(np.float32)),
            file.constant(rng.normal(size=channels).astype(np.float32)),
        ],
        [rounded],
        common | {"output_bits": 8, "rounding": 1},
    )
    return [compared, rounded]


def _sums(file, codes, addend, bits):
    """Convolutions whose floats are added up and quantized; their outputs."""
    rng = np.random.default_rng(bits)
    common = {
        "format": 3,
        "input_channels": 70,
        "input_bits": bits,
        "weight_bits": bits,
        "output_channels": 70,
        "output_bits": 32,
        **window_options((3, 1), (1, 1), (1, 1), "SAME"),
    }
    weights = [
        file.constant(
            rng.integers(0, 256, (bits, 70 * 70 * 3 // 8 + 1)).astype(np.uint8)
            & np.r_[[255] * (70 * 70 * 3 // 8), 15].astype(np.uint8)
        )
    ]
    floats = [
        file.constant(rng.normal(size=70).astype(np.float32)) for _ in range(3)
    ]
    levels = 1 if bits == 1 else 2**bits - 2
    thresholds = np.sort(10 * rng.normal(size=(levels, 70)), axis=0)
    compared = [
        file.constant(thresholds.astype(np.float32)),
        file.constant(rng.choice([-1, 1], 70).astype(np.int8)),
    ]
    shape, words = (1, 6, 6, 70), (1, 6, 6, 2 * bits)
    both = file.tensor(shape, np.float32), file.tensor(words, np.int64)
    file.operator(
        "AqeConv2D",
        [codes, *weights, *floats[:2], *compared, addend],
        both,
        common | {"addend": 1, "quantizer_bits": bits},
    )
    alone = file.tensor(shape, np.int8)
    file.operator(
        "AqeConv2D",
        [codes, *weights, *floats, *floats, both[0]],
        [alone],
        common
        | {
            "addend": 1,
            "offset": 1,
            "quantizer_bits": 8,
            "quantizer_rounding": 1,
            "quantizer_offset": 1,
        },
    )
    last = file.tensor(shape, np.float32), file.tensor(shape, np.int8)
    file.operator(
        "AqeDepthwiseConv2D",
        [
            codes,
            file.constant(np.zeros((bits, 70 * 3 // 8 + 1), np.uint8)),
            *floats[:2],
            file.constant(thresholds[:1].astype(np.float32)),
            compared[1],
        ],
        last,
        common
        | {
            "depth_multiplier": 1,
            "quantizer_bits": 8,
            "quantizer_code_bits": 1,
            "quantizer_first_code": 3,
        },
    )
    limited = [
        file.tensor(shape, np.float32),
        file.tensor(words, np.int64),
        file.tensor(shape, np.int8),
    ]
    file.operator(
        "AqeConv2D",
        [
            *(codes, *weights, *floats[:2]),
            file.constant(np.array([0, 6], np.float32)),
            *(*compared, *floats[1:]),
        ],
        limited,
        common
        | {
            "format": 4,
            "limits": 1,
            "quantizer_bits": bits,
            "quantizer2_bits": 8,
            "quantizer2_rounding": 1,
        },
    )
    rounded = file.tensor(shape, np.int8)
    file.operator(
        "AqeConv2D",
        [
            *(codes, *weights, *floats[:2]),
            file.constant(np.array([0, 6], np.float32)),
            *floats,
        ],
        [rounded],
        common
        | {
            "format": 5,
            "limits": 1,
            "quantizer_bits": 8,
            "quantizer_rounding": 1,
            "quantizer_offset": 1,
        },
    )
    return [*both, alone, *last, *limited, rounded]


class Mutator:
    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def damage(self, file):
        """One to three mutations, in place."""
        mutations = (
            self._option,
            self._option,
            self._option_bytes,
            self._constant,
            self._shape,
            self._type,
            self._connection,
        )
        for _ in range(self._rng.integers(1, 4)):
            self._pick(mutations)(file)

    def _pick(self, choices):
        return choices[self._rng.integers(len(choices))]

    def _option(self, file):
        operator = self._pick(file.operators)
        try:
            options = flexbuffers.Loads(operator.customOptions.tobytes())
        except Exception:  # already damaged beyond reading
            return
        if not isinstance(options, dict) or not options:
            return
        name = self._pick(list(options))
        if self._rng.random() < 0.2:
            del options[name]
        else:
            options[name] = self._pick([*_NUMBERS, 1.5, "text", [1]])
        operator.customOptions = np.frombuffer(
            flexbuffers.Dumps(options), np.uint8
        )

    def _option_bytes(self, file):
        operator = self._pick(file.operators)
        operator.customOptions = self._damaged_bytes(operator.customOptions)

    def _constant(self, file):
        buffer = self._pick(file.buffers[1:])
        buffer.data = self._damaged_bytes(buffer.data)

    def _damaged_bytes(self, data):
        data = np.array(data, np.uint8)
        if self._rng.random() < 0.3:
            return data[: self._rng.integers(len(data) + 1)]
        if len(data):
            at = self._rng.integers(len(data), size=self._rng.integers(1, 9))
            data[at] = self._rng.integers(256, size=len(at))
        return data

    def _shape(self, file):
        tensor = self._pick(file.tensors)
        shape = list(tensor.shape)
        if self._rng.random() < 0.3:
            shape = shape[:-1] if self._rng.random() < 0.5 else [1, *shape]
        elif shape:
            shape[self._rng.integers(len(shape))] = self._pick(_SIZES)
        tensor.shape = np.array(shape, np.int32)

    def _type(self, file):
        tensor = self._pick(file.tensors)
        tensor.type = self._pick([0, 1, 2, 3, 4, 7, 9, 12])

    def _connection(self, file):
        operator = self._pick(file.operators)
        name = self._pick(["inputs", "inputs", "outputs"])
        numbers = list(getattr(operator, name))
        number = self._rng.integers(-1, len(file.tensors))
        if numbers and self._rng.random() < 0.7:
            numbers[self._rng.integers(len(numbers))] = number
        elif numbers and self._rng.random() < 0.5:
            numbers.pop()
        else:
            numbers.append(number)
        setattr(operator, name, np.array(numbers, np.int32))


def run(flatbuffer, library, rng):
    """Whether an interpreter runs the file; it may refuse."""
    try:
        engine = Interpreter(
            model_content=flatbuffer,
            experimental_delegates=[load_delegate(library)],
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        )
        engine.allocate_tensors()
        for detail in engine.get_input_details():
            values = rng.integers(0, 256, detail["shape"])
            engine.set_tensor(detail["index"], values.astype(detail["dtype"]))
        engine.invoke()
        return True
    except (RuntimeError, ValueError, TypeError):
        return False


def main(library, number, seed):
    files = list(zoo())
    rng = np.random.default_rng(seed)
    for file, source, targets in files:
        assert run(file.write([source], np.ravel(targets)), library, rng)
    counts = collections.Counter()
    for i in range(number):
        file, source, targets = copy.deepcopy(files[i % len(files)])
        Mutator(seed + i).damage(file)
        counts[run(file.write([source], np.ravel(targets)), library, rng)] += 1
    print(f"{number} files: {counts[True]} ran, {counts[False]} refused")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
