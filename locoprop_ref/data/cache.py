"""The cache folder: it holds only files that the package wrote, and none is used unless its hash is right."""

import os
from pathlib import Path

from locoprop_ref.data.files import user_path

#: Environment variable that names the cache folder.
CACHE_VARIABLE = "LOCOPROP_REF_CACHE"


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder for drawn and downloaded data; it is not created here.

    It is the argument, else the value of LOCOPROP_REF_CACHE, else the operating system's folder for a user's
    caches (~/.cache/locoprop-ref on Linux).

    >>> cache_folder("here").name
    'here'
    """
    named = cache_dir if cache_dir is not None else os.environ.get(CACHE_VARIABLE)
    if named:
        return user_path(named, "cache_dir")
    import pooch

    return Path(pooch.os_cache("locoprop-ref"))
