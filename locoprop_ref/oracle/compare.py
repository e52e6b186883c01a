"""Comparison of returned arrays with the expected ones, and descriptions of the differences."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import to_numpy
from locoprop_ref.oracle.vectors import Case


@dataclass(frozen=True)
class Comparison:
    """One compared array of a case.

    Attributes:
        name: the name in `expected`.
        problem: "" if the array is correct, else a description of what is wrong.
        elements: the number of compared numbers.
        error: the largest abs(got − expected)/(1 + abs(expected)), nan if nothing could be compared.
        ulp: the largest abs(got − expected) in units in the last place of the array's largest expected
            number.
        relative: the largest abs(got − expected)/abs(expected) of the elements that are not 0.
        structure: "" if the array has the right name and shape, else "missing", "extra", "transposed" or
            "wrong shape".
    """

    name: str
    problem: str
    elements: int
    error: float
    ulp: float
    relative: float
    structure: str = ""


def as_array(name: str, value: Any) -> np.ndarray:
    """Return a value that a target returned as a NumPy array of float32 or float64.

    Raises:
        TypeError: the value is not an array of real numbers.
    """
    try:
        array = to_numpy(value) if not isinstance(value, list | tuple | float | int) else np.asarray(value)
    except Exception as error:
        raise TypeError(f"{name} must be an array of numbers, got {_brief(value)} ({error})") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"{name} must be an array of real numbers, got {_brief(value)} of dtype {array.dtype}"
        )
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def as_arrays(case: Case, values: Any) -> dict[str, np.ndarray]:
    """Return the expected arrays among the values that a target returned, as NumPy arrays by name.

    Raises:
        TypeError: the values are not a mapping of names to arrays of real numbers.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"the result must be a dict of {', '.join(case.expected)}, got {_brief(values)}")
    return {name: as_array(name, values[name]) for name in case.expected if name in values}


def _brief(value: Any) -> str:
    return f"{type(value).__name__} {checks.shown(value, 60)}"


def compare(
    case: Case, got: Mapping[str, np.ndarray], dtype: str, extra: Iterable[str] = ()
) -> list[Comparison]:
    """Compare every expected array of a case with the array that was returned.

    Args:
        case: the case.
        got: the arrays that were returned under expected names.
        dtype: the dtype of the check.
        extra: other names under which something was returned, which is wrong, too.
    """
    wanted = f"not asked for (expected {', '.join(case.expected)})"
    return [_compare(name, case, got, dtype) for name in case.expected] + [
        _malformed(str(name), wanted, "extra") for name in extra
    ]


def _malformed(name: str, problem: str, structure: str) -> Comparison:
    return Comparison(name, problem, 0, np.nan, np.nan, np.nan, structure)


def extra_names(case: Case, values: Any) -> list[str]:
    """Return the names under which a target returned something that the case does not ask for."""
    if not isinstance(values, Mapping):
        return []
    return [str(name) for name, value in values.items() if name not in case.expected and value is not None]


def _compare(name: str, case: Case, got: Mapping[str, np.ndarray], dtype: str) -> Comparison:
    with np.errstate(over="ignore"):
        expected = case.expected[name].astype(dtype).astype(np.float64)
    if name not in got:
        names = ", ".join(sorted(got)) or "no known name"
        return _malformed(name, f"missing (got {names})", "missing")
    value = got[name].astype(np.float64)
    if value.shape != expected.shape:
        problem = f"wrong shape {value.shape}, expected {expected.shape}"
        if value.shape == expected.shape[::-1]:
            return _malformed(name, problem + ", its transpose", "transposed")
        return _malformed(name, problem, "wrong shape")
    if not expected.size:
        return Comparison(name, "", 0, 0.0, 0.0, 0.0)
    errors = deviations(value, expected, case.scale)
    wrong = ~(errors <= case.tolerance[dtype])
    ulp, relative = _digits(value, expected, dtype)
    problem = _words(value, expected, errors, wrong, case.tolerance[dtype], case.scale) if wrong.any() else ""
    return Comparison(name, problem, expected.size, float(np.max(errors)), ulp, relative)


def deviations(value: np.ndarray, expected: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Return abs(value − expected)/(scale + abs(expected)); for infinities 0 if both are equal, else inf."""
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(value - expected) / (scale + np.abs(expected))
    errors = np.where(np.isfinite(expected), errors, np.inf)
    return np.where(value == expected, 0.0, np.where(np.isnan(value), np.inf, errors))


def _digits(value: np.ndarray, expected: np.ndarray, dtype: str) -> tuple[float, float]:
    finite = np.isfinite(expected) & np.isfinite(value)
    if not finite.any():
        return 0.0, 0.0
    off, size = np.abs(value[finite] - expected[finite]), np.abs(expected[finite])
    last_place = float(np.spacing(np.max(size).astype(dtype)))
    with np.errstate(over="ignore"):
        relative = np.divide(off, size, out=np.zeros_like(off), where=size > 0)
        return float(np.max(off) / np.float64(last_place)), float(np.max(relative))


def _words(
    value: np.ndarray,
    expected: np.ndarray,
    errors: np.ndarray,
    wrong: np.ndarray,
    tolerance: float,
    scale: float,
) -> str:
    nan = np.isnan(value)
    flat = int(np.argmax(nan)) if nan.any() else int(np.argmax(errors))
    index = [int(i) for i in np.unravel_index(flat, expected.shape)]
    got, want = float(value.reshape(-1)[flat]), float(expected.reshape(-1)[flat])
    count = f"{int(nan.sum())} NaN" if nan.any() else f"{int(wrong.sum())} wrong"
    where = f"worst {index}" if index else "got a wrong number"
    off = f", off by {abs(got - want):.2g}" if np.isfinite(got - want) else ""
    return (
        f"{count} of {expected.size}, {where}: expected {want!r}, got {got!r}{off} "
        f"(tolerance {tolerance * (scale + abs(want)):.1g})"
    )
