"""Data sets: drawn, read from the user's folder, from the cache or from a mirror; always checked.

>>> from locoprop_ref.data import NAMES
>>> NAMES
('curves', 'mnist', 'fashion_mnist')
"""

import os

from locoprop_ref import checks
from locoprop_ref.data.arrays import ARRAYS, from_arrays
from locoprop_ref.data.cache import CACHE_VARIABLE, cache_folder
from locoprop_ref.data.curves import draw_curves
from locoprop_ref.data.dataset import Dataset, scaled
from locoprop_ref.data.digits import DATA_VARIABLE, IDX_SETS, load_idx_set
from locoprop_ref.data.drawn import load_curves
from locoprop_ref.data.files import Named, user_path
from locoprop_ref.data.npz import load_npz

__all__ = [
    "NAMES", "Dataset", "load", "scaled", "draw_curves", "load_npz", "cache_folder",
    "CACHE_VARIABLE", "DATA_VARIABLE", "ARRAYS", "from_arrays",
]  # fmt: skip

#: The data sets that `load` knows by name.
NAMES = ("curves", "mnist", "fashion_mnist")


def data_path(name: Named) -> str:
    """Return the name of a data set as it is, and the path of a user's own NPZ with ~ expanded.

    >>> data_path("mnist")
    'mnist'
    """
    text = os.fspath(name)
    return str(user_path(text, "data")) if text.lower().endswith(".npz") else text


def refuse_folder(name: Named, data_dir: Named | None) -> None:
    """Refuse a folder beside the path of a user's own file, which is not in it: it would be ignored."""
    if data_dir is not None:
        of = f"data {os.fspath(name)!r}, which is a file of its own"
        raise ValueError(f"data_dir has no meaning for {of}, got {checks.shown(data_dir)}")


def load(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Dataset:
    """Load a data set by name, or a user's own from a path that ends in .npz.

    - "curves": 20,000 + 10,000 images of curves through three random points, drawn from seed 0, without
      labels (`draw_curves`). The images are kept in the cache; if it is corrupt or cannot be written, they
      are drawn again.
    - "mnist", "fashion_mnist": 60,000 + 10,000 images with labels, from the user's folder, else from the
      cache, else from a mirror (checked by SHA-256 and kept in the cache). The user's own files are only
      opened for reading.
    - a path ending in .npz: see `load_npz`.

    Args:
        name: one of `NAMES`, or the path.
        data_dir: folder with the four IDX files, plain or .gz, as they are or in torchvision's layout
            (MNIST/raw, FashionMNIST/raw). Default: the environment variable LOCOPROP_REF_DATA. If this
            argument names a folder, the data set must be in it; the variable's folder may be without it.
        cache_dir: folder for what is drawn or downloaded. Default: LOCOPROP_REF_CACHE, else the user's own
            cache folder.
        download: False never uses the network.

    Raises:
        ValueError: an unknown name; `data_dir` for "curves" or for a path; a file with other content than it
            should have.
        TypeError: a name that is neither a string nor a path.
        OSError: FileNotFoundError, PermissionError, ConnectionError, ...: the data cannot be obtained; the
            sentence says what to do.
    """
    checks.boolean("download", download)
    if not isinstance(name, str | os.PathLike):
        raise TypeError(
            f"name must be one of {', '.join(NAMES)} or a path ending in .npz, got {checks.shown(name)}"
        )
    if os.fspath(name).lower().endswith(".npz"):
        refuse_folder(name, data_dir)
        return load_npz(name)
    known = checks.one_of("name", name, (*NAMES, "a path ending in .npz"))
    if known == "curves" and data_dir is not None:
        raise ValueError(f"data_dir has no meaning for data 'curves', which is drawn, got {str(data_dir)!r}")
    if known == "curves":
        return load_curves(cache_folder(cache_dir) / "curves.npz")
    return load_idx_set(IDX_SETS[known], data_dir=data_dir, cache_dir=cache_dir, download=download)
