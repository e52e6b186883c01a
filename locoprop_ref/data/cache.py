"""The cache folder: our own files only, never trusted without their hash."""

import os
from pathlib import Path

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
