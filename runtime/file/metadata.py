"""The description that a file carries, with a digest of its content.

Stored as JSON in a metadata buffer of the flatbuffer.
"""

import json

from keras_aqe_runtime.errors import ConversionError
from keras_aqe_runtime.file import flatbuffer, schema

NAME = "keras_aqe"


def seal(model, description):
    """Writes a parsed file with a description and a digest of its content.

    Args:
        model: What `flatbuffer.read` returned.
        description: A dictionary, to replace the one in the file.

    Returns:
        The file as bytes.
    """
    digest = flatbuffer.digest(model, json.dumps(description))
    entry = {"digest": digest, "description": description}
    flatbuffer.set_metadata(model, NAME, json.dumps(entry).encode())
    return flatbuffer.write(model)


def read(model):
    """The description in a file, after checking the file's content.

    Args:
        model: What `flatbuffer.read` returned.

    Returns:
        A dictionary.

    Raises:
        ConversionError: If there is none, or it is damaged.
    """
    return required(find(model))


def required(description):
    """A description that `find` returned, unless that is `None`.

    Raises:
        ConversionError: If there is none.
    """
    if description is None:
        raise ConversionError(
            f"The file has no metadata entry {NAME!r}. Only files that "
            "`keras_aqe.converters.convert` wrote can be described."
        )
    return description


def find(model):
    """As `read`, but returns `None` for files from elsewhere."""
    data = flatbuffer.metadata(model, NAME)
    if data is None:
        return None
    try:
        entry = json.loads(data)
        schema.check(entry)
    except (ValueError, RecursionError) as error:
        raise ConversionError(
            f"The metadata entry {NAME!r} is damaged ({error}). Convert the "
            "model again, or copy the file again."
        ) from error
    digest, description = entry["digest"], entry["description"]
    if digest != flatbuffer.digest(model, json.dumps(description)):
        raise ConversionError(
            "The file's operators or weights are not those that were written "
            "(their digest differs): it was damaged or edited. Convert the "
            "model again, or copy the file again."
        )
    return description
