"""Files that are whole or not there."""

import contextlib
import os
import pathlib
from collections.abc import Callable


def write_whole(
    path: str | os.PathLike[str], save: Callable[[pathlib.Path], object]
) -> None:
    """Calls `save` with a temporary path, then renames that to `path`.

    What is there is the old file or the new one, never a part of it.

    Args:
        path: Where the file is to be, in a folder that is there.
        save: Writes the file to the `pathlib.Path` that it is given, whose
            suffix is that of `path`, since Keras and NumPy go by it.

    Raises:
        OSError: If it cannot be written; `filename` is `path`.

    Example:

    ```python
    write_whole("notes.txt", lambda path: path.write_text("whole"))
    ```
    """
    path = pathlib.Path(path)
    # Two processes may write the same file, so each has a name of its own.
    temporary = path.with_name(f"unfinished-{os.getpid()}-{path.name}")
    try:
        save(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:
            raise
        # A full disk has no name, and others that of the temporary file.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
