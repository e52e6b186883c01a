"""Measurements and identities, and the distance between two arrays."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from locoprop_ref.backend import to_numpy

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Measurement:
    """One measured part of an identity; it holds if error ≤ bound, and never if the error is nan.

    Args:
        claim: what is measured.
        error: the largest relative distance of the two sides; of a counterexample, what the test expects of
            their distance over this distance.
        bound: the largest error with which the part holds.
        reason: where the bound comes from.
        kind: "equality", where the error is rounding alone; "limit", where the two sides agree only in a
            limit; "counterexample", where they are shown to differ.
    """

    claim: str
    error: float
    bound: float
    reason: str
    kind: Literal["equality", "limit", "counterexample"] = "equality"

    @property
    def holds(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Identity:
    """An identity of the method, with the measurements of its parts."""

    id: str
    claim: str
    parts: tuple[Measurement, ...]

    @property
    def holds(self) -> bool:
        """Whether every part holds."""
        return all(part.holds for part in self.parts)


def far(got: Any, wanted: Any, scale: Any) -> float:
    """Return max |got − wanted|/scale, where 0/0 counts as 0 and nan stays nan."""
    distance = np.abs(to_numpy(got) - wanted)
    with np.errstate(over="ignore"):  # a nonzero difference over a scale of 0 is infinite
        return worst(distance / np.where(scale == 0, np.finfo(float).tiny, scale))


def worst(errors: Any) -> float:
    """Return the largest error, or nan if one error is nan (Python's own max could miss it)."""
    return float(np.max(errors))


def on(where: str, claim: str) -> str:
    """Return the claim with the networks that it is about before it; dense ones are not named.

    >>> on("recurrent", "y* = t"), on("", "y* = t")
    ('recurrent, y* = t', 'y* = t')
    """
    return f"{where}, {claim}" if where else claim
