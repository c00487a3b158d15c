"""The networks of Chen et al., 2020, in the Functional API."""

from keras_aqe.models.alexnet import AlexNet
from keras_aqe.models.densenet100 import DenseNet100
from keras_aqe.models.minw_net import MINWNet
from keras_aqe.models.pretrained import load_pretrained
from keras_aqe.models.resnet18 import ResNet18
from keras_aqe.models.resnet20 import ResNet20
from keras_aqe.models.resnet110 import ResNet110

__all__ = [
    "AlexNet",
    "DenseNet100",
    "MINWNet",
    "ResNet18",
    "ResNet20",
    "ResNet110",
    "load_pretrained",
]
