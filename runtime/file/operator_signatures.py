"""What each builtin operator takes and returns.

Interpreters read inputs without asking whether they are there, take a list of
axes to be of int32, and so on. This table says what holds in every file that
TensorFlow's converter makes. Operators that are not in it (random numbers,
resources, strings and the fused recurrent ones of Keras 2) do not occur in
files of Keras models and are refused.

A line is `inputs -> outputs`, an argument its types and then its ranks:

    f h d           float32, float16, float64
    b s i l         int8, int16, int32, int64
    u U             uint8, any other unsigned
    o c n           bool, complex64, int4 or int2
    *               any type
    =, =2           the type of the first input, of input 2 (from 0)
    @4, @3-5        that many axes
    ?               may be left out (as -1 or at the end)
    +               one or more like this
"""

import dataclasses
import functools
import re

from keras_aqe_runtime.file.flatbuffer import schema

_TABLE = {
    # One value for each.
    **dict.fromkeys(
        [
            *("ABS", "CEIL", "COS", "ELU", "EXP", "FAKE_QUANT", "FLOOR"),
            *("GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGICAL_NOT"),
            *("LOGISTIC", "NEG", "RELU", "RELU6", "RELU_0_TO_1"),
            *("RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SQRT"),
            *("SQUARE", "TANH", "ZEROS_LIKE"),
        ],
        "* -> =",
    ),
    **dict.fromkeys(
        ["L2_NORMALIZATION", "LOG_SOFTMAX", "SOFTMAX"], "*@1-5 -> =@1-5"
    ),
    "LOCAL_RESPONSE_NORMALIZATION": "f@4 -> f@4",
    "CAST": "* -> *",
    "BITCAST": "* -> *",
    "QUANTIZE": "fbusi -> bus",
    "DEQUANTIZE": "bushn -> f",
    "COMPLEX_ABS": "c -> f",
    "REAL": "c -> f",
    "IMAG": "c -> f",
    # Two values for one.
    **dict.fromkeys(
        [
            *("ADD", "ATAN2", "BITWISE_XOR", "DIV", "FLOOR_DIV", "FLOOR_MOD"),
            *("MAXIMUM", "MINIMUM", "MUL", "POW", "PRELU", "RIGHT_SHIFT"),
            *("SQUARED_DIFFERENCE", "SUB"),
        ],
        "* = -> =",
    ),
    **dict.fromkeys(["LOGICAL_AND", "LOGICAL_OR"], "o o -> o"),
    **dict.fromkeys(
        [
            *("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"),
            "NOT_EQUAL",
        ],
        "* = -> o",
    ),
    **dict.fromkeys(["SELECT", "SELECT_V2"], "o * =1 -> =1"),
    "ADD_N": "=+ -> =",
    # Weights.
    "CONV_2D": "fbus@4 fbuhn@4 ?fhil@1 -> =@4",
    # LiteRT reads its bias, whether it is there or not.
    "DEPTHWISE_CONV_2D": "fbus@4 fbuh@4 fhil@1 -> =@4",
    "CONV_3D": "f@5 f@5 ?f@1 -> f@5",
    "CONV_3D_TRANSPOSE": "i@1 f@5 f@5 ?f@1 -> f@5",
    "TRANSPOSE_CONV": "i@1 fbuh@4 fbus@4 ?fhil@1 -> =2@4",
    "FULLY_CONNECTED": "fbus@1-5 fbuhn@2 ?fhil@1 -> =@1-5",
    "BATCH_MATMUL": "fbsi@2-5 fbsi@2-5 -> fbsi@2-5",
    "EMBEDDING_LOOKUP": "i@1 fbu@2-5 -> fbu@2-5",
    # Windows.
    **dict.fromkeys(["AVERAGE_POOL_2D", "MAX_POOL_2D"], "fbus@4 -> =@4"),
    "L2_POOL_2D": "f@4 -> f@4",
    **dict.fromkeys(
        ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"], "*@4 i@1 -> =@4"
    ),
    **dict.fromkeys(["DEPTH_TO_SPACE", "SPACE_TO_DEPTH"], "*@4 -> =@4"),
    **dict.fromkeys(
        ["BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND"], "*@3-4 i@1 i@2 -> =@3-4"
    ),
    # Reductions.
    **dict.fromkeys(
        [
            *("MEAN", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN"),
            *("REDUCE_PROD", "SUM"),
        ],
        "* i@0-1 -> =",
    ),
    **dict.fromkeys(["ARG_MAX", "ARG_MIN"], "*@1-8 il@0-1 -> il"),
    "CUMSUM": "fil@1-8 i@0-1 -> =",
    "TOPK_V2": "*@1-8 is@0-1 -> = is",
    "SEGMENT_SUM": "fi@1-8 i@1 -> =",
    **dict.fromkeys(
        [
            *("UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN"),
            *("UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_SUM"),
        ],
        "fi@1-8 i@1-8 i@0-1 -> =",
    ),
    # Movements.
    "RESHAPE": "* i@1 -> =",
    "SQUEEZE": "* -> =",
    "EXPAND_DIMS": "* il@0-1 -> =",
    "TRANSPOSE": "* i@1 -> =",
    "CONCATENATION": "=+ -> =",
    "PACK": "=+ -> =",
    "UNPACK": "*@1-8 -> =+",
    "SPLIT": "i@0-1 *@1-8 -> =1+",
    "SPLIT_V": "*@1-8 il@1 i@0-1 -> =+",
    "SLICE": "*@1-8 il@1 =1@1 -> =",
    "STRIDED_SLICE": "*@1-5 i@1 i@1 i@1 -> =",
    "DYNAMIC_UPDATE_SLICE": "* = il@1 -> =",
    "GATHER": "*@1-8 sil -> =",
    "GATHER_ND": "*@1-8 sil@1-8 -> =",
    "SCATTER_ND": "i@1-8 * i@1 -> =1",
    "PAD": "*@1-5 il@2 -> =",
    "MIRROR_PAD": "*@1-5 il@2 -> =",
    "PADV2": "*@1-5 il@2 = -> =",
    "TILE": "* il@1 -> =",
    "BROADCAST_TO": "* il@1 -> =",
    "REVERSE_V2": "*@1-8 i@1 -> =",
    "REVERSE_SEQUENCE": "*@2-8 il@1 -> =",
    "MATRIX_DIAG": "*@1-8 -> =",
    "MATRIX_SET_DIAG": "*@2-8 =@1-8 -> =",
    # Shapes and constants.
    "SHAPE": "* -> il@1",
    "RANK": "* -> i",
    "BROADCAST_ARGS": "il@1 =@1 -> =@1",
    "BUCKETIZE": "fdil -> i",
    "FILL": "il@1 * -> =1",
    "RANGE": "fil@0 =@0 =@0 -> =@1",
    "ONE_HOT": "il i@0-1 * =2 -> =2",
    "WHERE": "*@1-8 -> l@2",
    "SPARSE_TO_DENSE": "il@0-2 il@1 *@0-1 =2@0-1 -> =2",
    "RFFT2D": "f@2-8 i@1 -> c@2-8",
    # Of graphs; `loops` says more.
    "IF": "o *+ -> *+",
    "WHILE": "*+ -> *+",
}
_TYPES = {
    "f": ("FLOAT32",),
    "h": ("FLOAT16",),
    "d": ("FLOAT64",),
    "b": ("INT8",),
    "s": ("INT16",),
    "i": ("INT32",),
    "l": ("INT64",),
    "u": ("UINT8",),
    "U": ("UINT16", "UINT32", "UINT64"),
    "o": ("BOOL",),
    "c": ("COMPLEX64",),
    "n": ("INT2", "INT4"),
}
# Names of all these types, by their numbers in TFLite's schema.
TYPES = {
    getattr(schema.TensorType, name): name
    for names in _TYPES.values()
    for name in names
}
_ARGUMENT = re.compile(
    r"(?P<optional>\??)"
    r"(?:(?P<types>[a-zA-Z]+)|(?P<any>\*)|=(?P<as_input>\d*))"
    r"(?:@(?P<least>\d)(?:-(?P<most>\d))?)?"
    r"(?P<repeated>\+?)"
)
# Operators whose options are named after others.
_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2D",
    "CONV_3D_TRANSPOSE": "Conv3D",
    "L2_NORMALIZATION": "L2Norm",
    "L2_POOL_2D": "Pool2D",
    "MAX_POOL_2D": "Pool2D",
    **dict.fromkeys(
        [
            *("MEAN", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN"),
            *("REDUCE_PROD", "SUM"),
        ],
        "Reducer",
    ),
}


@dataclasses.dataclass(frozen=True)
class Argument:
    """An input or output of an operator.

    Args:
        types: Names of its types in TFLite's schema, `None` for any.
        like: The input whose type it has, `None` for its own.
        least: Its smallest number of axes.
        most: Its largest number of axes.
        is_optional: Whether it may be left out.
        is_repeated: Whether more of the same kind may follow.
    """

    types: tuple | None = None
    like: int | None = None
    least: int = 0
    most: int = 8
    is_optional: bool = False
    is_repeated: bool = False


@dataclasses.dataclass(frozen=True)
class Signature:
    """The `Argument`s of an operator and its class of options, if any."""

    inputs: tuple
    outputs: tuple
    options: type | None


@functools.cache
def find(name):
    """The `Signature` of a builtin operator, `None` if it is unknown."""
    if name not in _TABLE:
        return None
    return parse(_TABLE[name], _options_class(name))


def parse(line, options=None):
    """The `Signature` that a line says, with a class of options."""
    inputs, outputs = line.split(" -> ")
    return Signature(
        tuple(map(_argument, inputs.split())),
        tuple(map(_argument, outputs.split())),
        options,
    )


def _argument(text):
    part = _ARGUMENT.fullmatch(text)
    types, like = part["types"], part["as_input"]
    least = int(part["least"] or 0)
    return Argument(
        types and tuple(name for key in types for name in _TYPES[key]),
        None if like is None else int(like or 0),
        least,
        int(part["most"] or (least if part["least"] else 8)),
        bool(part["optional"]),
        bool(part["repeated"]),
    )


@functools.cache
def _options_class(name):
    wanted = _OPTIONS.get(name, name.replace("_", "")).lower() + "optionst"
    for key, value in vars(schema).items():
        # Operators without a field of options may do without the options.
        if key.lower() == wanted and vars(value()):
            return value
    return None
