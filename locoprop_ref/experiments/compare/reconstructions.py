"""Test images and what every entry's network makes of them, in one JSON: a byte a pixel, in hexadecimal."""

from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from locoprop_ref.backend import namespace
from locoprop_ref.data import Dataset, scaled
from locoprop_ref.experiments.compare.folder import Results, run_path
from locoprop_ref.experiments.compare.records import SCHEMA, Data, read_record, write_json
from locoprop_ref.experiments.compare.summary import classifies
from locoprop_ref.training.apply import outputs
from locoprop_ref.training.checkpoint import load_network

FILE = "reconstructions.json"
COUNT = 10


class Reconstructions(Struct, frozen=True, kw_only=True):
    """Images of one shape: originals, and by entry what the network of a seed makes of them."""

    schema: Literal[1] = SCHEMA
    command: str = ""
    environment: dict[str, Any] = {}
    data: Data | None = None
    seed: int
    shape: list[Any]
    originals: list[Any]
    rows: dict[str, list[Any]]


def keep_reconstructions(folder: Path, results: Results, data: Dataset) -> None:
    """Write `reconstructions.json` from the first seed's checkpoints, where there is any.

    Examples that are no images are left out, and a network that classifies reconstructs nothing. An entry
    whose checkpoint is not there keeps what the file says of the same seed.
    """
    side = int(data.x_test.shape[1] ** 0.5)
    if classifies(results) or (data.image_shape is None and side**2 != data.x_test.shape[1]):
        return
    manifest, kept = results.manifest, read_reconstructions(folder)
    seed, backend = manifest.seeds[0], manifest.environment["backend"]["name"]
    rows = kept.rows if kept and kept.seed == seed else {}
    x = data.x_test[:COUNT]
    for entry in manifest.entries:
        checkpoint = run_path(folder, entry, seed).with_suffix(".npz")
        if checkpoint.exists():
            network = load_network(checkpoint, xp=namespace(backend))
            rows[entry] = _as_hex(outputs(network, x, backend=backend))
    if rows:
        content = Reconstructions(
            command=manifest.command,
            environment=manifest.environment,
            data=manifest.data,
            seed=seed,
            shape=list(data.image_shape or [side, side]),
            originals=_as_hex(scaled(x, "float64")),
            rows={entry: rows[entry] for entry in manifest.entries if entry in rows},
        )
        write_json(folder / FILE, content)


def _as_hex(pixels: np.ndarray) -> list[str]:
    """Return pixels in [0, 1] as bytes from 0 to 255, two hexadecimal digits each, a string an image."""
    clipped = np.clip(np.nan_to_num(np.asarray(pixels, dtype=np.float64)), 0.0, 1.0)
    return [row.tobytes().hex() for row in np.rint(255 * clipped).astype(np.uint8)]


def pixels_of(rows: list[str]) -> np.ndarray:
    """Return the images of such strings, (images, pixels) in [0, 1].

    >>> pixels_of(["00ff", "3300"])
    array([[0. , 1. ],
           [0.2, 0. ]])
    """
    return np.array([list(bytes.fromhex(row)) for row in rows]) / 255


def read_reconstructions(folder: Path) -> Reconstructions | None:
    """Return the file's content, None where there is none.

    Raises:
        OSError, ValueError: see `records.read_record`; images that are no such strings.
    """
    path = folder / FILE
    if not path.exists():
        return None
    content = read_record(path, "reconstructions", Reconstructions)
    for name, images in ({"originals": content.originals} | content.rows).items():
        try:
            wrong = pixels_of(images).shape[1:] != (prod(content.shape),)
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            raise ValueError(f"{path} must hold images of shape {content.shape} in hex, got others: {name}")
    return content
