"""What lets the same tests read tensors of each backend."""

import keras

if keras.backend.backend() == "torch":
    import torch

    of_constants = torch.Tensor.__array__
    of_variables = keras.Variable.__array__

    def to_array(self, dtype=None, copy=None):
        """Of a tensor or variable, whether or not it is trained.

        Neither PyTorch nor Keras knows NumPy 2's `copy`, which warns of that.
        """
        if isinstance(self, keras.Variable):
            array = of_variables(self, dtype)
        else:
            array = of_constants(self.detach(), dtype)
        return array.copy() if copy else array

    torch.Tensor.__array__ = keras.Variable.__array__ = to_array
