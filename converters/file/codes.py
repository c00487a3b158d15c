"""Where the codes of a quantizer stand in a file."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Stored:
    """Where codes stand: `sum_i factors[i] * tensors[i] + offset`.

    Args:
        tensors: Tensors, or their indices in a file.
        factors: A number for each.
        offset: A number.
        channels: How many codes end at a word, where not those of the last
            axis: words of a flattened tensor lie as they did before.
        pads: Further codes that stand nowhere, a pair for each axis of those
            in front and behind, or `None`.
        pad_code: What these are.
    """

    tensors: tuple
    factors: tuple = (1.0,)
    offset: float = 0.0
    channels: int | None = None
    pads: tuple | None = None
    pad_code: float = 0.0

    @classmethod
    def described(cls, entry):
        """Where a file's description says that they stand."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{key: entry[key] for key in names if key in entry})

    def decode(self, arrays, shape, decode):
        """The codes as an array of float32.

        Args:
            arrays: What the file's engine returned of each of `tensors`.
            shape: Shape of the codes.
            decode: `Target.decode` of the target that they are of.
        """
        channels = self.channels or shape[-1]
        pads = self.pads or [(0, 0)] * len(shape)
        inner = np.array(shape) - np.sum(pads, axis=1)
        codes = np.float32(self.offset)
        for array, factor in zip(arrays, self.factors):
            part = decode(array, channels).astype("float32").reshape(inner)
            codes = codes + np.float32(factor) * part
        return np.pad(codes, pads, constant_values=self.pad_code)
