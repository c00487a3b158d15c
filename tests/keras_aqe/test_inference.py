"""Layers that do nothing at inference, among all that Keras has."""

import inspect
import re

import keras
import numpy as np
import pytest

from keras_aqe.inference import is_identity

K = keras.layers
# Arguments of layers that have no defaults, or defaults that do nothing.
ARGUMENTS = {
    "Activation": ("relu",),
    "AlphaDropout": (0.5,),
    "AveragePooling1D": (2,),
    "AveragePooling2D": (2,),
    "AveragePooling3D": (2,),
    "CenterCrop": (4, 4),
    "Conv1D": (2, 3),
    "Conv1DTranspose": (2, 3),
    "Conv2D": (2, 3),
    "Conv2DTranspose": (2, 3),
    "Conv3D": (2, 3),
    "Conv3DTranspose": (2, 3),
    "Cropping1D": (1,),
    "Cropping2D": (1,),
    "Cropping3D": (1,),
    "Dense": (2,),
    "DepthwiseConv1D": (3,),
    "DepthwiseConv2D": (3,),
    "Dropout": (0.5,),
    "GaussianDropout": (0.5,),
    "GaussianNoise": (0.5,),
    "GroupNormalization": (3,),
    "Lambda": (keras.ops.abs,),
    "MaxNumBoundingBoxes": (3,),
    "Normalization": (-1, 1.0, 4.0),
    "Permute": ((3, 1, 2),),
    "Pipeline": ([K.RandomFlip(), K.RandomRotation(0.2)],),
    "RandomBrightness": (0.5,),
    "RandomColorDegeneration": (0.5,),
    "RandomContrast": (0.5,),
    "RandomCrop": (6, 6),
    "RandomHue": (0.5,),
    "RandomPosterization": (3,),
    "RandomRotation": (0.5,),
    "RandomSaturation": (0.5,),
    "RandomSharpness": (0.5,),
    "RandomTranslation": (0.2, 0.2),
    "RandomZoom": (0.2,),
    "RepeatVector": (3,),
    "Rescaling": (0.5,),
    "Reshape": ((-1,),),
    "Resizing": (4, 4),
    "SeparableConv1D": (2, 3),
    "SeparableConv2D": (2, 3),
    "SpatialDropout1D": (0.5,),
    "SpatialDropout2D": (0.5,),
    "SpatialDropout3D": (0.5,),
    "SpectralNormalization": (K.Dense(2),),
    "TimeDistributed": (K.Dense(2),),
    **{f"Adaptive{kind}Pooling{n}D": (2,)
       for kind in ("Average", "Max") for n in (1, 2, 3)},
}  # fmt: skip
# Axes between batch and channels that the name does not tell.
RANKS = {"RepeatVector": []}
# Layers of more than one tensor, of none, of text or tokens, recurrent ones,
# and those of other frameworks.
OTHERS = {
    *("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum"),
    *("Multiply", "Subtract"),
    *("AdditiveAttention", "Attention", "GroupQueryAttention"),
    *("MultiHeadAttention",),
    *("CategoryEncoding", "Discretization", "Embedding", "HashedCrossing"),
    *("Hashing", "IntegerLookup", "ReversibleEmbedding", "StringLookup"),
    *("TextVectorization", "MelSpectrogram", "STFTSpectrogram"),
    *("Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU"),
    *("GRUCell", "LSTM", "LSTMCell", "RNN", "SimpleRNN", "SimpleRNNCell"),
    *("StackedRNNCells", "EinsumDense"),
    *("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"),
    *("InputLayer", "Layer", "Wrapper"),
}


def image_layers():
    """Names of all layers in Keras that can be called on one tensor."""
    return [
        name
        for name, cls in vars(K).items()
        if inspect.isclass(cls)
        and issubclass(cls, K.Layer)
        and cls.__name__ == name
        and name not in OTHERS
    ]


def make(name):
    """A layer of a class of Keras, and the tensor that it is called on."""
    rank = re.search("([13])D", name)
    sizes = RANKS.get(name, [6] * int(rank[1] if rank else 2))
    layer = getattr(K, name)(*ARGUMENTS.get(name, ()))
    return layer, keras.KerasTensor((None, *sizes, 3))


@pytest.mark.parametrize("name", image_layers())
def test_is_what_the_layer_does(name):
    """Another computation: the layer itself, on values of a wide range."""
    layer, tensor = make(name)
    x = np.random.uniform(-300, 300, (2, *tensor.shape[1:])).astype("float32")
    training = {"training": False} if layer._call_has_training_arg else {}
    y = np.asarray(layer(x, **training))
    # Masking multiplies all these values by 1.
    same = np.array_equal(x, y) and name != "Masking"
    assert is_identity(layer, (tensor,)) == same


def test_is_found_in_layers_of_a_user():
    class Noise(K.Layer):
        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def call(self, x, training=None):
            x = x * self.scale if training else x
            return keras.ops.stop_gradient(keras.ops.cast(x, "float32"))

    x = keras.KerasTensor((None, 4))
    assert is_identity(Noise(2), (x,))
    assert not is_identity(K.Lambda(lambda x: 2 * x), (x,))


@pytest.mark.parametrize("dtype, same", [("float32", True), ("uint8", False)])
def test_a_cast_is_no_identity(dtype, same):
    x = keras.KerasTensor((None, 4, 4, 3), dtype)
    assert is_identity(K.RandomFlip(), (x,)) == same


def test_of_two_tensors_is_none():
    x = keras.KerasTensor((None, 4))
    assert not is_identity(K.Add(), ([x, x],))


@pytest.mark.parametrize(
    "name",
    [
        *("elu", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "linear"),
        *("mish", "relu", "relu6", "sigmoid", "silu", "softmax", "tanh"),
    ],
)
def test_of_an_activation_is_that_of_its_function(name):
    x = np.linspace(-300, 300, 12, dtype="float32").reshape(3, 4)
    layer = K.Activation(name)
    same = np.array_equal(layer(x), x)
    assert is_identity(layer, (keras.KerasTensor((None, 4)),)) == same
    layer.call = lambda x: x
    assert is_identity(layer, (keras.KerasTensor((None, 4)),))
