"""Reading the vectors, and converting their numbers to arrays and back.

In JSON a number is a number or one of the words "inf", "-inf" and "nan"; an array is a list of numbers or of
lists of equal length. This module needs no library except NumPy.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "vectors"
SCHEMA = 1
VERSION = 2  # of the values; a results file says for which version it was made
DTYPES = ("float64", "float32")
_WORDS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
# inputs that stay as JSON has them: text, and the shapes and wirings of layers with positions; every other
# input is a number or an array of numbers
_AS_IT_IS = ("transfer", "transfers", "output_loss", "optimizer", "method", "shape", "wiring", "wirings",
             "geometry", "block")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Case:
    """One vector: the quantity to compute, its inputs, and the expected values.

    Attributes:
        id: "topic/name", which is never reused.
        topic: the quantity to compute.
        comment: a description of the case.
        flags: properties of the case, and the deviations that it can distinguish from a correct result.
        conventions: the conventions that the group states.
        inputs: floats, ints, strings, lists of strings, a shape (list of ints), wirings (lists of dicts) or
            float64 arrays (read-only), by name.
        expected: float64 arrays by name (0-d for a number; read-only).
        tolerance: τ by dtype; a value v is correct if abs(v − e) ≤ τ·(scale + abs(e)).
        reason: the reason for the tolerance.
        cannot_tell: pairs of flags of the case whose results are the same, so that it cannot tell them apart.
        scale: 1, or nearly 0 where tiny numbers must have their relative accuracy.
    """

    id: str
    topic: str
    comment: str
    flags: tuple[str, ...]
    conventions: dict[str, str]
    inputs: dict[str, Any]
    expected: dict[str, np.ndarray]
    tolerance: dict[str, float]
    reason: str
    cannot_tell: tuple[tuple[str, str], ...] = ()
    scale: float = 1.0

    def cast_inputs(self, dtype: str) -> dict[str, Any]:
        """Return the inputs with new arrays of this dtype; numbers and strings are unchanged."""
        return {
            name: value.astype(dtype) if isinstance(value, np.ndarray) else value
            for name, value in self.inputs.items()
        }


def decode(value: Any) -> Any:
    """Convert a JSON value to a float, an int, or a float64 array.

    >>> decode(["inf", 1])
    array([inf,  1.])

    Raises:
        ValueError: a value is not a number, or the rows have different lengths.
    """
    if isinstance(value, list):
        return np.array(_floats(value, 0), dtype=np.float64)
    return value if isinstance(value, int) and not isinstance(value, bool) else _float(value)


def _floats(value: Any, depth: int) -> Any:
    if not isinstance(value, list):
        return _float(value)
    if depth == 8:
        raise ValueError("lists are nested more than 8 deep")
    parts = [_floats(part, depth + 1) for part in value]
    if len({_shape(part) for part in parts}) > 1:
        raise ValueError("rows have different lengths")
    return parts


def _shape(part: Any) -> tuple[int, ...]:
    return (
        (len(part), *_shape(part[0])) if isinstance(part, list) and part else (-1,) * isinstance(part, list)
    )


def _float(value: Any) -> float:
    if isinstance(value, str):
        if value in _WORDS:
            return _WORDS[value]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    shown = "null (JavaScript's NaN)" if value is None else f"{str(value)[:40]!r}"
    raise ValueError(f'{shown} is no number (numbers beyond JSON are spelled "inf", "-inf", "nan")')


def encode(value: Any) -> Any:
    """Convert numbers and NumPy arrays to JSON values, with the shortest decimals that round-trip.

    >>> encode(np.array([0.1, np.inf]))
    [0.1, 'inf']
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [encode(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def file_text(path: Path) -> str:
    """Return the text of a file of vectors."""
    return path.read_text(encoding="utf-8")


def _read_only(value: Any) -> Any:
    """Make an array read-only, because all callers share the cases."""
    if isinstance(value, np.ndarray):
        value = value.astype(np.float64)
        value.flags.writeable = False
    return value


def parse(document: dict[str, Any]) -> Iterator[Case]:
    """Yield the cases of a document, which is a file of vectors read as JSON."""
    for group in document["groups"]:
        for case in group["cases"]:
            yield Case(
                id=case["id"],
                topic=document["topic"],
                comment=case["comment"],
                flags=tuple(case["flags"]),
                conventions=dict(group["conventions"]),
                inputs={k: v if k in _AS_IT_IS else _read_only(decode(v)) for k, v in case["inputs"].items()},
                expected={k: _read_only(np.asarray(decode(v))) for k, v in case["expected"].items()},
                tolerance={dtype: case["tolerance"][dtype] for dtype in DTYPES},
                reason=case["tolerance"]["reason"],
                cannot_tell=tuple((first, second) for first, second in case.get("cannot_tell", ())),
                scale=case["tolerance"].get("scale", 1.0),
            )


@cache
def _all_cases() -> tuple[Case, ...]:
    from locoprop_ref.oracle.topics import TOPICS

    documents = (json.loads(file_text(FOLDER / f"{topic}.json")) for topic in TOPICS)
    return tuple(case for document in documents for case in parse(document))


def cases(topic: str | None = None) -> tuple[Case, ...]:
    """Return the certified cases, all or those of one topic, in the order of `topics.TOPICS`.

    >>> cases("closed_form")[0].topic
    'closed_form'

    Raises:
        ValueError: an unknown topic.
    """
    from locoprop_ref import checks
    from locoprop_ref.oracle.topics import TOPICS

    if topic is None:
        return _all_cases()
    checks.one_of("topic", topic, TOPICS)
    return tuple(case for case in _all_cases() if case.topic == topic)
