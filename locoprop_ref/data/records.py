"""JSON files read into typed records: bounded in size, checked by msgspec, one sentence for every error."""

import json
import os
import re
from typing import Any, TypeVar

import msgspec

from locoprop_ref import checks
from locoprop_ref.data.files import reading, user_path

Record = TypeVar("Record")


def read_json(path: str | os.PathLike[str], kind: str, *, max_bytes: int = 1 << 26) -> Any:
    """Read a JSON file.

    Args:
        path: a regular file.
        kind: what it should be, with its article, for the errors: "a run file".
        max_bytes: a larger file is refused before it is read; 64 MiB.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or it is not JSON (which has neither NaN nor infinity).
    """
    checks.integer("max_bytes", max_bytes)
    path = user_path(path)
    with reading(path, kind):
        size = path.stat().st_size
        if size > max_bytes:
            raise ValueError(f"{path} must be {kind} of at most {max_bytes} bytes, got {size}")
        content = path.read_bytes()
    try:
        parsed = parse_json(content)
    except NotJson as error:
        raise ValueError(f"{path} must be {kind} in JSON, got text that is not JSON ({error})") from None
    twice = _key_that_stands_twice(content)
    if twice is not None:
        raise ValueError(f"{path} must be {kind} with every key once, got {twice[:60]!r} twice")
    return parsed


def _key_that_stands_twice(content: bytes) -> str | None:
    """Return a key that one object of JSON text has twice (readers differ in which they take), or None."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len({*names}) < len(names):
            found.extend(name for name in names if names.count(name) > 1)

    numbers: Any = len  # not read: Python refuses integers of thousands of digits
    json.loads(content, object_pairs_hook=look, parse_int=numbers, parse_float=numbers)
    return found[0] if found else None


class NotJson(ValueError):
    """Bytes that are not JSON in UTF-8."""


def parse_json(content: bytes) -> Any:
    """Return what JSON text stands for; integers of any length are exact.

    Raises:
        NotJson: it is not JSON; the reason in a few words.

    >>> parse_json(b'[1, {"rate": 0.5}]')
    [1, {'rate': 0.5}]
    """
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(str(error).splitlines()[0]) from None


def as_record(content: object, record: type[Record]) -> Record:
    """Return parsed JSON as a typed record.

    Args:
        content: what `parse_json` returned.
        record: a `msgspec.Struct`.

    Raises:
        ValueError: a key is missing, or its value has another type. The words continue a sentence that ends
            in "but": "its epochs[1] has no test", or "its x is wrong: expected `float`, got `str`".

    >>> class Point(msgspec.Struct):
    ...     x: float
    >>> as_record({"x": 2}, Point)
    Point(x=2.0)
    >>> as_record({"x": "two"}, Point)
    Traceback (most recent call last):
    ValueError: its x is wrong: expected `float`, got `str`
    """
    try:
        return msgspec.convert(content, record)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        place = where.strip("`").removeprefix("$").removeprefix(".")
        subject = f"its {place}" if place else "it"
        missing = re.fullmatch("Object missing required field `(.*)`", what)
        if missing:
            raise ValueError(f"{subject} has no {missing[1]}") from None
        reason = what[0].lower() + what[1:120]  # a wrong value is quoted, however long it is
        raise ValueError(f"{subject} is wrong: {reason}") from None
