"""The outcome of one case of a check: its status, and what was compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from locoprop_ref.oracle.compare import Comparison
from locoprop_ref.oracle.vectors import Case

PASS, FAIL, ACCEPTABLE = "pass", "fail", "acceptable"
ERROR, NOT_COVERED, NOT_RUN = "error", "not covered", "not run"
STATUSES = (PASS, ACCEPTABLE, FAIL, ERROR, NOT_COVERED, NOT_RUN)
BAD = (FAIL, ERROR, NOT_RUN)


@dataclass(frozen=True)
class Result:
    """One case: its status, what was compared, what was returned, and a sentence where something is wrong."""

    case: Case
    status: str
    comparisons: Sequence[Comparison] = ()
    got: dict[str, np.ndarray] | None = None
    message: str = ""

    @property
    def words(self) -> str:
        """Everything that is wrong, in one line."""
        problems = [f"{c.name}: {c.problem}" for c in self.comparisons if c.problem]
        return "; ".join(([self.message] if self.message else []) + problems)

    @property
    def structure(self) -> tuple[tuple[str, str], ...]:
        """What is wrong with the names and shapes: pairs of "missing", "extra" ... and a name."""
        return tuple((c.structure, c.name) for c in self.comparisons if c.structure)

    @property
    def error(self) -> float:
        """Worst deviation in units of the tolerance's scale; nan if nothing was compared."""
        errors = [c.error for c in self.comparisons if not np.isnan(c.error)]
        return max(errors, default=float("nan"))
