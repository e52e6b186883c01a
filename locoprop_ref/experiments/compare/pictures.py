"""Test images and what every contestant's network makes of them, kept in one JSON: a byte a pixel, in hex."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref.backend import namespace
from locoprop_ref.data import Dataset, scaled
from locoprop_ref.experiments.compare.folder import SCHEMA, Results, read_json, run_path, write_json
from locoprop_ref.training.apply import outputs
from locoprop_ref.training.checkpoint import load_network

FILE = "reconstructions.json"
FORM = {"rows": dict, "originals": list, "shape": list, "seed": int}
COUNT = 10


def keep_reconstructions(folder: Path, results: Results, data: Dataset) -> bool:
    """Write `reconstructions.json` from the first seed's checkpoints; return whether there was any.

    Rows of no image shape are left out. A contestant whose checkpoint is not there keeps what the file says
    of the same seed.
    """
    if data.image_shape is None and int(data.x_test.shape[1] ** 0.5) ** 2 != data.x_test.shape[1]:
        return False
    seed, path = results.manifest["seeds"][0], folder / FILE
    kept = read_reconstructions(folder)
    rows = kept["rows"] if kept and kept["seed"] == seed else {}
    x = data.x_test[:COUNT]
    backend = results.manifest["environment"]["backend"]["name"]
    for name in results.manifest["contestants"]:
        checkpoint = run_path(folder, name, seed).with_suffix(".npz")
        if checkpoint.exists():
            network = load_network(checkpoint, xp=namespace(backend))
            rows[name] = _as_hex(outputs(network, x, backend=backend))
    if not rows:
        return False
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "command": results.manifest["command"],
        "environment": results.manifest["environment"],
        "data": results.manifest["data"],
        "seed": seed,
        "shape": list(data.image_shape or [int(x.shape[1] ** 0.5)] * 2),
        "originals": _as_hex(scaled(x, "float64")),
        "rows": {name: rows[name] for name in results.manifest["contestants"] if name in rows},
    }
    write_json(path, content)
    return True


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


def read_reconstructions(folder: Path) -> dict[str, Any] | None:
    """Return the file's content, None where there is none.

    Raises:
        OSError, ValueError: see `folder.read_json`; images that are no such strings.
    """
    path = folder / FILE
    if not path.exists():
        return None
    content = read_json(path, "reconstructions", FORM)
    for name, images in ({"originals": content["originals"]} | content["rows"]).items():
        try:
            wrong = pixels_of(images).shape[1:] != (prod(content["shape"]),)
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            raise ValueError(
                f"{path} must hold images of shape {content['shape']} in hex, got others: {name}"
            )
    return content
