"""The cache folder: our own files only, written atomically, never trusted without their hash."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

#: Environment variable that names the cache folder.
CACHE_VARIABLE = "LOCOPROP_REF_CACHE"


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder for drawn and downloaded data; not created here.

    It is the argument, else LOCOPROP_REF_CACHE, else what the operating system has for a user's caches
    (~/.cache/locoprop-ref on Linux).

    >>> cache_folder("here").name
    'here'
    """
    named = cache_dir if cache_dir is not None else os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("locoprop-ref"))


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Create or replace a file as a whole: readers see the old one or the new one, never a part.

    Raises:
        OSError: the folder cannot be created or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
