"""Imitation of an implementation: a case computed by the second source under other conventions."""

from functools import lru_cache, partial

import numpy as np

from locoprop_ref.oracle import arithmetic
from locoprop_ref.oracle.compare import deviations
from locoprop_ref.oracle.conventions import choices
from locoprop_ref.oracle.flag import Flag
from locoprop_ref.oracle.flags import ARITHMETIC, BY_FLAG
from locoprop_ref.oracle.vectors import Case

Flags = tuple[Flag, ...]
Arrays = dict[str, np.ndarray]
# One tolerance each for the rounding of the implementation and of the imitation, times a safety factor of 2.
MARGIN = 4
# A deviation names a case only if it changes the case by more than this number of tolerances of the check, so
# that a right answer that misses the tolerance narrowly gets no name.
SEEN = 16


def matches(case: Case, got: Arrays, flags: Flags, dtype: str) -> bool:
    """Return whether a case computed under the flags agrees with everything that was returned for it."""
    if set(got) != set(case.expected):
        return False
    changed = tuple(flag for flag in flags if flag.name not in ARITHMETIC)
    values = imitation(case, changed)
    if values is None or any(got[name].shape != values[name].shape for name in got):
        return False
    numbers = {name: value.astype(np.float64) for name, value in got.items()}
    names = [flag.name for flag in flags if flag.name in ARITHMETIC]
    narrow = partial(_tf32, case, tuple(flag.name for flag in changed))
    if names:
        tolerance = case.tolerance["float32"]
        right = all(arithmetic.agrees(n, case, numbers, values, narrow, dtype) for n in names)
    else:
        tolerance = case.tolerance[dtype]
        right = distance(case, numbers, values) <= MARGIN * tolerance
    return right and (not changed or distance(case, values, case.expected) > SEEN * tolerance)


def distance(case: Case, got: Arrays, expected: Arrays) -> float:
    """Return the largest deviation in the scale of the case's tolerance; inf where shapes differ."""
    if any(got[name].shape != value.shape for name, value in expected.items()):
        return np.inf
    largest = [
        np.max(deviations(got[name], value, case.scale), initial=0.0) for name, value in expected.items()
    ]
    return float(max(largest))


def imitation(case: Case, flags: Flags) -> Arrays | None:
    """Compute a case under the flags, with 53 bits; return None if they have no meaning for it."""
    return _imitation(case, tuple(flag.name for flag in flags))


@lru_cache(maxsize=20_000)
def _imitation(case: Case, names: tuple[str, ...]) -> Arrays | None:
    from locoprop_ref.oracle.second_source import context, floats

    if not names:
        return case.expected
    # floats overflow where the case is extreme; elsewhere they are fifty times as fast
    ctx = context(bits=53) if "Extreme" in case.flags else floats()
    return evaluated(case, names, ctx)


def evaluated(case: Case, names: tuple[str, ...], ctx: object) -> Arrays | None:
    """Compute a case under flags in an arithmetic; return None if they have no meaning for it."""
    from locoprop_ref.oracle.second_source import Inapplicable, evaluate

    change = {key: value for name in names for key, value in BY_FLAG[name].change.items()}
    try:
        values = evaluate(case.topic, choices(case.conventions) | change, case.inputs, ctx=ctx)
    except (Inapplicable, ArithmeticError):
        return None
    return {name: np.array(_floats(value), dtype=np.float64) for name, value in values.items()}


def _floats(value: object) -> object:
    return [_floats(part) for part in value] if isinstance(value, list) else float(value)  # type: ignore[arg-type]


@lru_cache(maxsize=2_000)
def _tf32(case: Case, names: tuple[str, ...], cut: bool) -> Arrays | None:
    from locoprop_ref.oracle.second_source import narrow_products

    if "Extreme" in case.flags:
        return None
    return evaluated(case, names, narrow_products(bits=11, cut=cut))
