"""Inputs of the vectors: small, readable, exact in float32, and the same on every machine."""

import random
import zlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The inputs of a case, from which its expected values are computed."""

    topic: str
    name: str
    comment: str
    inputs: dict[str, Any]
    conventions: dict[str, str] = field(default_factory=dict)
    properties: tuple[str, ...] = ()
    scale: float = 1.0

    @property
    def id(self) -> str:
        """The id of the case, "topic/name"."""
        return f"{self.topic}/{self.name}"


# Multiples of 1/4096 are exact in float32, but products of TF32 round them.
GRAIN = 4096


class Draw:
    """Random multiples of 1/64, or of another grain, with a word as seed.

    Python's documentation guarantees that `random.Random(seed).random()` gives the same sequence in all
    versions.
    """

    def __init__(self, seed: str, grain: int = 64) -> None:
        self._random = random.Random(zlib.crc32(seed.encode()))  # noqa: S311
        self._grain = grain

    def number(self, size: float = 1.0) -> float:
        """Return a nonzero multiple of 1/grain in [−size, size]."""
        steps = int(size * self._grain)
        k = 1 + int(self._random.random() * steps)
        return (k if self._random.random() < 0.5 else -k) / self._grain

    def vector(self, n: int, size: float = 1.0) -> list[float]:
        """Return a list of n numbers."""
        return [self.number(size) for _ in range(n)]

    def matrix(self, rows: int, columns: int, size: float = 1.0) -> list[list[float]]:
        """Return a list of rows."""
        return [self.vector(columns, size) for _ in range(rows)]

    def labels(self, rows: int, columns: int, kind: str) -> list[list[float]]:
        """Return rows of labels: "0/1", "one hot", or "real"."""
        if kind == "real":
            return self.matrix(rows, columns)
        if kind == "one hot":
            hot = [int(self._random.random() * columns) for _ in range(rows)]
            return [[float(j == k) for j in range(columns)] for k in hot]
        return [[float(self._random.random() < 0.5) for _ in range(columns)] for _ in range(rows)]
