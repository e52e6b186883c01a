"""The CURVES data set: drawn once, then read from the cache if its bytes are the published ones."""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from locoprop_ref.data.curves import NUM_TEST, NUM_TRAIN, PINNED_SHA256, SIDE, draw_curves
from locoprop_ref.data.dataset import Dataset, Source, checked_dataset
from locoprop_ref.data.files import write_atomically
from locoprop_ref.data.npz import read_npz


def load_curves(path: Path) -> Dataset:
    """Return the data set "curves": from the file if its bytes are the published ones, else drawn again.

    Args:
        path: where the images are kept; written if they had to be drawn. A file that cannot be written only
            costs the time of the next drawing.
    """
    source: Source = "cache"
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
    with suppress(OSError):
        write_atomically(path, lambda file: np.savez_compressed(file, images=images))


def _sha256(images: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
