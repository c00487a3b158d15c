"""The networks of Chen et al., 2020, in the Functional API."""

from keras_aqe.models.minw_net import MINWNet

__all__ = ["MINWNet"]
