"""What a measurement is, and how far two arrays are from each other."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Measurement:
    """One measured part of an identity: it holds when error ≤ bound (nan never holds)."""

    claim: str
    error: float
    bound: float
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Identity:
    """An identity of the method with the measurements of its parts."""

    id: str
    claim: str
    parts: tuple[Measurement, ...]

    @property
    def holds(self) -> bool:
        """Whether every part holds."""
        return all(part.holds for part in self.parts)


def far(got: Any, wanted: Any, scale: Any) -> float:
    """Return max |got − wanted|/scale; 0/0 is 0, nan stays nan."""
    distance = np.abs(to_numpy(got) - wanted)
    with np.errstate(over="ignore"):  # something over nothing is as far as can be
        return worst(distance / np.where(scale == 0, np.finfo(float).tiny, scale))


def worst(errors: Any) -> float:
    """Return the largest error, nan if one is (Python's own max would lose it)."""
    return float(np.max(errors))
