import importlib.resources

import keras


def load_pretrained(name: str) -> keras.Model:
    """Loads a trained network that comes with the package.

    Args:
        name: Name of the network, such as `"minw-d24-cifar10-1-1"`: the
            network, the data, the width of inputs and that of weights. The
            model card (`examples/pretrained/README.md`) lists them with their
            accuracies and says how images are to be normalised and what is
            kept of the latent weights.

    Returns:
        The `keras.Model`, from normalised images to logits.

    Raises:
        ValueError: If there is no network of that name.

    Example:

    ```python
    import keras_aqe as aqe
    from keras_aqe import converters

    model = aqe.models.load_pretrained("minw-d24-cifar10-1-1")
    converted = converters.convert(model, target="tflite")
    ```
    """
    folder = _folder()
    names = sorted(
        file.name.removesuffix(".keras")
        for file in folder.iterdir()
        if file.name.endswith(".keras")
    )
    if name not in names:
        raise ValueError(
            "`name` must be that of a trained network of this package: "
            f"{', '.join(names) or 'none is installed'}. "
            f"Received: name={name!r}"
        )
    with importlib.resources.as_file(folder / f"{name}.keras") as path:
        return keras.models.load_model(path)


def _folder():
    return importlib.resources.files("keras_aqe.pretrained")
