"""Tiny images of three kinds, for the tests of networks that classify them."""

import numpy as np

COUNTS = {"train": 120, "test": 40}


def write_images(path, side=6, kinds=3):
    """An NPZ of images (N, side, side): a pattern for each kind, with noise; return its path."""
    rng = np.random.default_rng(3)
    patterns, found = rng.random((kinds, side, side)), {}
    for part, count in COUNTS.items():
        labels = rng.integers(0, kinds, count)
        pixels = 0.6 * patterns[labels] + 0.4 * rng.random((count, side, side))
        found |= {f"x_{part}": (255 * pixels).astype(np.uint8), f"labels_{part}": labels}
    np.savez(path, **found)
    return path
