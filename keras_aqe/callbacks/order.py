"""Where a callback stands among the others of a call of `fit`."""

import inspect

import keras


def calling_list(
    callback: keras.callbacks.Callback,
) -> keras.callbacks.CallbackList | None:
    """The list that holds a callback and calls its method now, if one does.

    Keras tells callbacks of their model, and not of each other.
    """
    found, frame = None, inspect.currentframe()
    while frame is not None and frame.f_locals.get("self") is not (
        callback.model
    ):
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            found = caller
        frame = frame.f_back
    return found if frame is not None else None


def move_to_front(
    callback: keras.callbacks.Callback,
    callbacks: keras.callbacks.CallbackList | None,
) -> None:
    """Lets others see what a callback puts into the logs.

    Args:
        callback: The callback, whose turn it is.
        callbacks: What `calling_list` returned for it.
    """
    # Those before it have had their turn, so the list may be walked on.
    if callbacks is not None and callback in callbacks.callbacks:
        callbacks.callbacks.remove(callback)
        callbacks.callbacks.insert(0, callback)
