"""What is wrong with a failing case, where no deviation explains it: a sentence without a name."""

from collections.abc import Sequence

import numpy as np

from locoprop_ref.oracle.outcome import Result
from locoprop_ref.oracle.vectors import Case

# Numbers that are this much larger than the largest expected one have diverged.
DIVERGED = 1e8
# A small error is at most this number of tolerances of the coarser kind: of float32 in a check in float64,
# and of the check itself in float32.
SMALL = {"float64": 4, "float32": 100}
NEVER_SMALL = 1e-2  # whatever an ill-conditioned case tolerates
NOT_SEARCHED = "were not searched, because the time for the diagnosis was over"
TYPICAL = (
    "a part of the arithmetic in a lower precision, a number added to the diagonal of a system, finite "
    "differences, a number added inside a logarithm or a root, or a solver that stops early"
)


def of(result: Result) -> tuple[str, bool] | None:
    """Return a sentence about a case that no flag can explain, and whether its outputs are malformed.

    None means that the outputs are well-formed and finite, so that flags may explain them.
    """
    if result.structure:
        return _malformed(result), True
    if _diverged(result):
        return "diverged: " + _condition(result.case), False
    return None


def grouped(words: dict[str, tuple[str, bool]]) -> dict[tuple[str, bool], list[str]]:
    """Return the ids of the cases of each sentence."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for id_, sentence in words.items():
        groups.setdefault(sentence, []).append(id_)
    return groups


def _malformed(result: Result) -> str:
    """Return which outputs are missing, superfluous or of the wrong shape, without the numbers of layers."""
    verbs = {
        "missing": "lack {}",
        "extra": "return {}, for which they are not asked",
        "transposed": "return {} transposed",
        "wrong shape": "return {} in a wrong shape",
    }
    parts = []
    for kind, verb in verbs.items():
        names = sorted({_kind_of(name) for problem, name in result.structure if problem == kind})
        if names:
            parts.append(verb.format(" and ".join(names)))
    return ", and ".join(parts)


def _kind_of(name: str) -> str:
    """Return "W_m" for "W_1" and the like, so that layers share a sentence."""
    head, _, tail = name.rpartition("_")
    return f"{head}_m" if head and tail.isdigit() else name


def _diverged(result: Result) -> bool:
    for name, value in (result.got or {}).items():
        expected = result.case.expected[name]
        if not np.all(np.isfinite(expected)) or value.shape != expected.shape:
            continue
        limit = DIVERGED * (1 + np.max(np.abs(expected), initial=0.0))
        with np.errstate(invalid="ignore", over="ignore"):
            if not np.all(np.abs(value.astype(np.float64)) <= limit):
                return True
    return False


def _condition(case: Case) -> str:
    """Return the condition that an iteration on the case's problem has to keep."""
    text = "numbers that are not finite, or far too large"
    eta = case.inputs.get("weight_step", np.inf)
    if "weight_step" in case.inputs and np.isfinite(eta):
        return (
            f"{text}; a fixed-point iteration converges only if weight_step times the largest eigenvalue of "
            f"x^T x is below 1, which only the cases of the kind Gentle have"
        )
    if "local_lr" in case.inputs or "learning_rate" in case.inputs:
        return (
            f"{text}; gradient descent converges only if the rate times the largest curvature is below 2: "
            "look at the size of the gradient, and at what the rate is multiplied by"
        )
    return f"{text}; look for an overflow, or for a division by zero"


def small(result: Result, dtype: str) -> bool:
    """Return whether the error of a well-formed case is small, about as large as that of rounding."""
    limit = min(SMALL[dtype] * result.case.tolerance["float32"], NEVER_SMALL)
    return not result.structure and result.error <= limit


def small_words(results: Sequence[Result]) -> str:
    """Return the sentence about cases with small errors."""
    errors = [result.error for result in results]
    return (
        f"have a small error of no known cause, between {min(errors):.0e} and {max(errors):.0e}; typical "
        f"causes: {TYPICAL}"
    )
