"""What lets the same tests read tensors of each backend."""

import keras

if keras.backend.backend() == "torch":
    import torch

    of_constants = torch.Tensor.__array__

    def of_tensors(self, *args, **kwargs):
        """Tensors of a model become arrays, whether or not it trains."""
        return of_constants(self.detach(), *args, **kwargs)

    torch.Tensor.__array__ = of_tensors
