"""The signatures of arithmetics of lower precision: which numbers such a format can hold at all.

A result that was computed in float32 and converted to float64 has zeros in the last 29 of its 53 bits, which
no other cause of small errors brings about. Results of TF32 products are recognized by imitation.
"""

from collections.abc import Callable

import numpy as np

from locoprop_ref.oracle.compare import deviations
from locoprop_ref.oracle.vectors import Case

Arrays = dict[str, np.ndarray]
Narrow = Callable[[bool], Arrays | None]
# Bits of a number, the hidden one included; results that combine a few numbers of the format have more, and
# 12 bits that are zero by chance in every number of a case are no chance.
BITS = {"Float32Arithmetic": 41, "Float16Arithmetic": 11, "BFloat16Arithmetic": 8}
# How much coarser than float32 a format is.
COARSER = {"Float32Arithmetic": 1, "Float16Arithmetic": 2**13, "BFloat16Arithmetic": 2**16}
MARGIN = 4
# Roundings go up and down: the error as a whole is at most this share of the largest one of a number. A sum
# divided by 8 in place of 9 (it may have few bits as well) is off by the same factor everywhere.
COMMON = 1 / 4
# Share of the error that products of TF32 must explain: an input next to the middle of two TF32 numbers may
# be rounded the other way.
EXPLAINED = 0.75
# Errors of TF32 products are 30 to 100 tolerances of float32, and more after many steps.
LARGEST = 5_000
# Numbers with at most this number of bits say nothing about the arithmetic (0, 1, 0.5, labels).
FEW_BITS = 8
ENOUGH = 3


def agrees(name: str, case: Case, got: Arrays, values: Arrays, narrow: Narrow, dtype: str) -> bool:
    """Return whether results look like `values`, computed in the arithmetic of a flag.

    Args:
        name: name of the flag.
        case: the case.
        got: what was returned, as float64.
        values: the case under the changed conventions, computed exactly.
        narrow: computes the case with products of TF32, whose inputs are rounded, or cut off (True).
        dtype: the dtype of the check.
    """
    numbers = np.concatenate([value.reshape(-1) for value in got.values()])
    if name == "TF32Products":
        possible = dtype == "float32" or _fits(numbers, BITS["Float32Arithmetic"])
        return possible and _of_tf32(case, got, values, narrow)
    if name == "Float32Arithmetic" and dtype == "float32":
        return False
    tolerance = MARGIN * COARSER[name] * case.tolerance["float32"]
    near = all(np.all(deviations(got[n], values[n], case.scale) <= tolerance) for n in got)
    scaled = any(abs(_share(got[n], values[n])) > COMMON * tolerance for n in got)
    return near and _fits(numbers, BITS[name]) and not scaled


def _share(got: np.ndarray, values: np.ndarray) -> float:
    """Return the share of the values that explains most of the error, <error, values>/<values, values>.

    >>> _share(np.array([1.125, -2.25]), np.array([1.0, -2.0]))
    0.125
    """
    finite = np.isfinite(values) & np.isfinite(got)
    error, size = (got[finite] - values[finite]).ravel(), values[finite].ravel()
    # divided first by the largest number, so that no square overflows or is lost
    largest = np.max(np.abs(size), initial=0.0)
    if largest == 0:
        return 0.0
    return float(np.vdot(error / largest, size / largest) / np.vdot(size / largest, size / largest))


def _fits(numbers: np.ndarray, bits: int) -> bool:
    """Return whether all numbers have at most this number of bits, and enough of them are not trivial."""
    numbers = numbers[np.isfinite(numbers) & (numbers != 0)]
    used = significant_bits(numbers)
    few = min(FEW_BITS, bits - 4)
    return bool(np.all(used <= bits)) and int(np.sum(used > few)) >= ENOUGH


def significant_bits(numbers: np.ndarray) -> np.ndarray:
    """Return how many bits each number has between its first and its last 1.

    >>> significant_bits(np.array([1.0, 0.75, 1 + 2.0**-23]))
    array([ 1,  2, 24])
    """
    mantissa = (np.abs(np.frexp(numbers)[0]) * 2.0**53).astype(np.int64)
    last = np.where(mantissa == 0, 1, mantissa & -mantissa)
    return 53 - np.round(np.log2(last.astype(np.float64))).astype(np.int64)


def _of_tf32(case: Case, got: Arrays, values: Arrays, narrow: Narrow) -> bool:
    """Return whether products with inputs of 11 bits, rounded or cut off, explain the error."""
    off = {name: got[name] - values[name] for name in got}
    size = max(np.max(np.abs(deviations(got[n], values[n], case.scale)), initial=0.0) for n in got)
    if not MARGIN < size / case.tolerance["float32"] < LARGEST:
        return False
    return any(_explains(narrow(cut), values, off) for cut in (False, True))


def _explains(narrow: Arrays | None, values: Arrays, off: Arrays) -> bool:
    if narrow is None:
        return False
    error = np.concatenate([value.reshape(-1) for value in off.values()])
    imitated = np.concatenate([(narrow[name] - values[name]).reshape(-1) for name in off])
    if not np.all(np.isfinite(error)):
        return False
    return float(np.linalg.norm(error - imitated)) <= (1 - EXPLAINED) * float(np.linalg.norm(error))
