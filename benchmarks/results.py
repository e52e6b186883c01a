"""Results of benchmarks, each in one JSON file and one text file."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import Median, median, ratio
from benchmarks.peers import FLOORS, PEERS
from locoprop_ref.data.files import write_atomically

FOLDER = Path(__file__).resolve().parent / "results"
SCHEMA = 1


def save(name: str, result: dict[str, Any], text: str, folder: Path = FOLDER) -> None:
    """Write `name`.json and `name`.txt into a folder, and print the text."""
    whole = {"schema": SCHEMA, **result}
    content = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(folder / f"{name}.json", lambda file: file.write(content.encode()))
    write_atomically(folder / f"{name}.txt", lambda file: file.write((text + "\n").encode()))
    print(text)


def read(path: Path) -> dict[str, Any]:
    """Return a saved result.

    Raises:
        ValueError: the file is missing, is not JSON, or has another schema.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be a saved result, and cannot be read: {error}") from error
    if not isinstance(result, dict) or result.get("schema") != SCHEMA:
        raise ValueError(f"{path} must be a saved result of schema {SCHEMA}")
    return result


def installed(peer: str) -> bool:
    """Return whether the library of a peer can be imported."""
    return find_spec(PEERS[peer].library) is not None


def faster_floor(times: dict[str, list[float]]) -> str:
    """Return the label of the floor, which is the faster of the two ways to use the cores."""
    return min(FLOORS, key=lambda label: median(times[label]).median)


def shares(times: dict[str, list[float]]) -> dict[str, Median]:
    """Return every peer's share of the floor, which is the floor's time divided by its own, by rounds."""
    floor = times[faster_floor(times)]
    return {label: ratio(floor, own) for label, own in times.items()}


def interval(value: Median, factor: float = 1.0, digits: int = 0) -> str:
    """Return a median with its interval, as text."""
    middle, low, high = (f"{factor * v:.{digits}f}" for v in (value.median, value.low, value.high))
    return f"{middle} [{low}, {high}]"
