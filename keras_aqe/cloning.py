"""Models copied layer by layer."""

from collections.abc import Callable

import keras


def clone(
    model: keras.Model,
    copy: Callable[[keras.layers.Layer], keras.layers.Layer],
    classes: tuple[type, type] = (keras.Model, keras.Sequential),
) -> keras.Model:
    """Returns a model of the same graph with other layers, not compiled.

    Args:
        model: A built Functional or Sequential model.
        copy: Function from a layer, or another operation, to what takes its
            place; called once for each, those of nested models too.
        classes: The classes that a Functional and a Sequential model become.

    Returns:
        A model of the same kind and name, with weights of its own.
    """
    functional, sequential = classes

    def named(layer):
        copied = copy(layer)
        # Configurations of users' own layers may lack it.
        copied.name = layer.name
        return copied

    result = keras.models.clone_model(
        _uncompiled(model), clone_function=named, recursive=True
    )
    if isinstance(model, keras.Sequential):
        return sequential(result.layers, name=model.name)
    return functional(result.input, result.output, name=model.name)


def _uncompiled(model):
    """The graph of a model, without the optimizer and the loss."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0])
    return keras.Model(model.input, model.output, name=model.name)
