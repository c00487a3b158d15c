"""Builtin TFLite operators on quantized tensors, written from TensorFlow.

TensorFlow has no operators on int8. So placeholders, custom operators without
meaning, go through TensorFlow's converter, and the finished file gets the
builtin operators in their place, with their constants and scales.
"""

from flatbuffers import flexbuffers

from keras_aqe.converters.file import builtin_ops
from keras_aqe.converters.file.custom_ops import custom_op
from keras_aqe_runtime.file import flatbuffer

PLACEHOLDER = "AqeBuiltin"


class Operators:
    """The operators of one file."""

    def __init__(self):
        self._operators = []

    def write(self, operator, tensors, shape):
        """Writes a tensor that an operator computes.

        Args:
            operator: A `builtin_ops.Operator`.
            tensors: Its inputs that are no constants.
            shape: Shape of the result, `None` for the batch.

        Returns:
            A `tf.Tensor`: int8 where the operator has a scale, else float32.
        """
        dtype = "float32" if operator.scale is None else "int8"
        self._operators.append(operator)
        index = len(self._operators) - 1
        return custom_op(PLACEHOLDER, tensors, shape, dtype, {"index": index})

    def insert(self, model):
        """Puts the operators into a file in the place of the placeholders.

        Args:
            model: The parsed file that `custom_ops.to_model` returned.
        """
        graph = builtin_ops.Graph(model)
        for name, operator in zip(
            flatbuffer.operator_names(model), graph.take_operators()
        ):
            if name == PLACEHOLDER:
                options = flexbuffers.Loads(
                    bytes(bytearray(operator.customOptions))
                )
                graph.insert(self._operators[options["index"]], operator)
            else:
                graph.keep(operator)
        graph.drop_unused_codes()
