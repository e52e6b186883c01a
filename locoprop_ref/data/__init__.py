"""Data sets: drawn, loaded from the user's folder, cached or downloaded; always checked.

>>> from locoprop_ref.data import NAMES
>>> NAMES
('curves', 'mnist', 'fashion_mnist')
"""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from locoprop_ref import checks
from locoprop_ref.data.cache import CACHE_VARIABLE, cache_folder
from locoprop_ref.data.curves import NUM_TEST, NUM_TRAIN, PINNED_SHA256, SIDE, draw_curves
from locoprop_ref.data.dataset import Dataset, checked_dataset, scaled
from locoprop_ref.data.digits import DATA_VARIABLE, IDX_SETS, load_idx_set
from locoprop_ref.data.files import write_atomically
from locoprop_ref.data.npz import load_npz, read_npz

__all__ = [
    "NAMES", "Dataset", "load", "scaled", "draw_curves", "load_npz", "cache_folder",
    "CACHE_VARIABLE", "DATA_VARIABLE",
]  # fmt: skip

#: The data sets that `load` knows by name.
NAMES = ("curves", "mnist", "fashion_mnist")


def load(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Dataset:
    """Load a data set by name, or a user's own from a path that ends in .npz.

    - "curves": 20,000 + 10,000 images of curves through three random points, drawn from seed 0, without
      labels (`draw_curves`). The drawing is kept in the cache; a corrupt or unwritable cache does no harm.
    - "mnist", "fashion_mnist": 60,000 + 10,000 images with labels, from the user's folder, else the cache,
      else a mirror (by SHA-256, into the cache). A user's files are only ever opened for reading.
    - a path ending in .npz: see `load_npz`.

    Args:
        name: one of `NAMES`, or the path.
        data_dir: folder with the four IDX files, plain or .gz, as they are or in torchvision's layout
            (MNIST/raw, FashionMNIST/raw). Default: the environment variable LOCOPROP_REF_DATA. A folder named
            by this argument must hold the data set; the variable's may lack it.
        cache_dir: folder for what is drawn or downloaded. Default: LOCOPROP_REF_CACHE, else the user's own
            cache folder.
        download: False never touches the network.

    Raises:
        ValueError: an unknown name; a file that is not what it should be.
        TypeError: a name that is neither a string nor a path.
        OSError: FileNotFoundError, PermissionError, ConnectionError, ...: data that cannot be had; the
            sentence says what to do.
    """
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name must be one of {', '.join(NAMES)} or a path ending in .npz, got {name!r}")
    if os.fspath(name).lower().endswith(".npz"):
        return load_npz(name)
    known = checks.one_of("name", name, (*NAMES, "a path ending in .npz"))
    if known == "curves":
        return _load_curves(cache_folder(cache_dir) / "curves.npz")
    return load_idx_set(IDX_SETS[known], data_dir=data_dir, cache_dir=cache_dir, download=download)


def _load_curves(path: Path) -> Dataset:
    """The cached drawing if its bytes are the published ones, else a new one."""
    source = "cache"
    notes: tuple[str, ...] = ()
    images = _cached_curves(path)
    if images is None:
        source, images = "drawn from seed", draw_curves(NUM_TRAIN + NUM_TEST)
        if _sha256(images) == PINNED_SHA256:
            _keep_curves(path, images)
        else:
            notes = (
                "This machine's arithmetic is not IEEE 754's: it draws other bytes than the published ones.",
            )
    images = images.reshape(-1, SIDE, SIDE)
    arrays = {"x_train": images[:NUM_TRAIN], "x_test": images[NUM_TRAIN:]}
    return checked_dataset("curves", arrays, source=source, notes=notes)


def _cached_curves(path: Path) -> np.ndarray | None:
    size = (NUM_TRAIN + NUM_TEST) * SIDE * SIDE
    try:
        images = read_npz(path, ("images",), required=("images",), max_bytes=size + 4096)[0]["images"]
    except (OSError, ValueError):
        return None
    same = images.dtype == np.uint8 and images.shape == (NUM_TRAIN + NUM_TEST, SIDE * SIDE)
    return images if same and _sha256(images) == PINNED_SHA256 else None


def _keep_curves(path: Path, images: np.ndarray) -> None:
    """Write the cache; one that cannot be written only costs the next drawing."""
    with suppress(OSError):
        write_atomically(path, lambda file: np.savez_compressed(file, images=images))


def _sha256(images: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
