"""The diagnosis: the changed convention under which the second source agrees with an implementation.

Every failing case is computed again under each flag that it reveals, and under pairs of flags if no single
flag explains it. A flag matches a case if all numbers agree to within a few tolerances. The flags are ranked
by the number of failing cases that they explain, and the first line of the diagnosis names the best one.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from tqdm import tqdm

from locoprop_ref.oracle.compare import deviations
from locoprop_ref.oracle.conventions import QUICK, choices
from locoprop_ref.oracle.flag import VARIANT, Flag
from locoprop_ref.oracle.flags import BY_FLAG, FLAGS, FLOAT32
from locoprop_ref.oracle.outcome import Result
from locoprop_ref.oracle.vectors import Case

Flags = tuple[Flag, ...]
# One tolerance each for the rounding of the implementation and of the imitation, times a safety factor of 2.
MARGIN = 4


@dataclass(frozen=True)
class Finding:
    """A flag or a pair of flags with the failing cases that it explains, or the cases that nothing explains.

    Attributes:
        flags: names of the flags; empty if nothing matches.
        ids: the explained cases.
        failing: the number of failing cases that were diagnosed.
        others: other flags or pairs that explain the same cases equally well.
        contradicted: ids of cases that pass although they would fail under these flags.
        complete: whether there was enough time to try all pairs.
    """

    flags: tuple[str, ...]
    ids: tuple[str, ...]
    failing: int
    others: tuple[tuple[str, ...], ...] = ()
    contradicted: tuple[str, ...] = ()
    complete: bool = True

    @property
    def names(self) -> str:
        """The names of the flags, as "A" or "A with B"."""
        return " with ".join(self.flags)

    @property
    def acceptable(self) -> bool:
        """Whether every flag is a legitimate variant."""
        return bool(self.flags) and all(_flag(name).kind == VARIANT for name in self.flags)

    @property
    def text(self) -> str:
        """The finding as one line of text."""
        shown = ", ".join(self.ids[:4]) + (", ..." if len(self.ids) > 4 else "")
        count = f"{len(self.ids)} of {self.failing} failing cases"
        if not self.flags:
            stopped = "" if self.complete else "; the search for pairs ran out of time"
            return f"{count} match no known deviation, alone or in pairs ({shown}){stopped}"
        when = ", and when ".join(_flag(name).when for name in self.flags)
        kind = "acceptable: variant" if self.acceptable else "bug"
        line = f"{count} match when {when} (flag {self.names}; {kind})"
        if self.others:
            line += (
                "; " + ", or ".join(" with ".join(names) for names in self.others) + " would explain them too"
            )
        if self.contradicted:
            passing = len(self.contradicted)
            line += f"; {passing} passing cases would fail under it, so it is not made everywhere"
        return line


def _flag(name: str) -> Flag:
    return FLOAT32 if name == FLOAT32.name else BY_FLAG[name]


def diagnose(results: Sequence[Result], dtype: str, *, seconds: float = 60.0) -> list[Finding]:
    """Explain the failing cases of a check.

    Args:
        results: all results; the passing ones decide between flags that explain equally many cases.
        dtype: the dtype of the check.
        seconds: time for the search; single flags are always tried, pairs only until the time is over.

    Returns:
        findings, starting with the one that explains most; the last one, without flags, has the unexplained
        cases.
    """
    failing = [r for r in results if r.status == "fail" and r.got]
    end = time.monotonic() + seconds
    explained: dict[str, set[tuple[str, ...]]] = {}
    for result in tqdm(failing, desc="diagnosing", unit="case", disable=None, leave=False):
        explained[result.case.id] = {
            _names(flags) for flags in _matching(result, _singles(result.case, dtype), dtype)
        }
    complete = _pairs(failing, explained, dtype, end)
    passing = [r.case for r in results if r.status == "pass"]
    return _ranked(explained, passing, complete)


def _names(flags: Flags) -> tuple[str, ...]:
    return tuple(flag.name for flag in flags)


def _singles(case: Case, dtype: str) -> Iterator[Flags]:
    if dtype == "float64":
        yield (FLOAT32,)
    for name in case.flags:
        if name in BY_FLAG:
            yield (BY_FLAG[name],)


def _pairs(
    failing: Sequence[Result], explained: dict[str, set[tuple[str, ...]]], dtype: str, end: float
) -> bool:
    """Try pairs on the cases that no single flag explains; return whether there was time for all cases."""
    found: list[Flags] = []
    for result in failing:
        if explained[result.case.id]:
            continue
        # pairs that explained another case are tried first; if one matches, no others are tried
        matching = list(_matching(result, iter(found), dtype))
        if not matching:
            for pair in _matching(result, _all_pairs(result.case, dtype), dtype):
                matching.append(pair)
                if time.monotonic() > end:
                    break
            found += [pair for pair in matching if pair not in found]
        explained[result.case.id] = {_names(flags) for flags in matching}
        if time.monotonic() > end:
            return False
    return True


def _all_pairs(case: Case, dtype: str) -> Iterator[Flags]:
    concerned = [flag for flag in FLAGS if flag.concerns(case.topic, case.conventions)]
    if dtype == "float64":
        yield from ((BY_FLAG[name], FLOAT32) for name in case.flags if name in BY_FLAG)
    for pair in combinations(concerned, 2):
        disjoint = not set(pair[0].change) & set(pair[1].change)
        if disjoint and any(flag.name in case.flags for flag in pair):
            yield pair


def _matching(result: Result, candidates: Iterator[Flags], dtype: str) -> Iterator[Flags]:
    return (flags for flags in candidates if matches(result.case, result.got or {}, flags, dtype))


def matches(case: Case, got: dict[str, np.ndarray], flags: Flags, dtype: str) -> bool:
    """Return whether a case computed under the flags agrees with everything that was returned for it."""
    values = imitation(case, flags)
    tolerance = MARGIN * case.tolerance["float32" if FLOAT32 in flags else dtype]
    return values is not None and all(
        value.shape == values[name].shape
        and bool(np.all(deviations(value.astype(np.float64), values[name]) <= tolerance))
        for name, value in got.items()
    )


def imitation(case: Case, flags: Flags) -> dict[str, np.ndarray] | None:
    """Compute a case under the flags, with 53 bits; return None if they have no meaning for it."""
    from locoprop_ref.oracle.second_source import Inapplicable, context, evaluate, floats

    if flags == (FLOAT32,):
        return case.expected
    change = {key: value for flag in flags for key, value in flag.change.items()}
    # these topics have no extreme numbers, but ten times as many as others
    ctx = floats() if case.topic in QUICK else context(bits=53)
    try:
        values = evaluate(case.topic, choices(case.conventions) | change, case.inputs, ctx=ctx)
    except (Inapplicable, ArithmeticError):
        return None
    return {name: np.array(_floats(value), dtype=np.float64) for name, value in values.items()}


def _floats(value: object) -> object:
    return [_floats(part) for part in value] if isinstance(value, list) else float(value)  # type: ignore[arg-type]


def _ranked(
    explained: dict[str, set[tuple[str, ...]]], passing: Sequence[Case], complete: bool
) -> list[Finding]:
    """Repeatedly take the flags that explain most of the remaining cases."""
    left = {id_: set(flags) for id_, flags in explained.items()}
    findings = []
    while True:
        cover: dict[tuple[str, ...], list[str]] = {}
        for id_, candidates in left.items():
            for flags in candidates:
                cover.setdefault(flags, []).append(id_)
        if not cover:
            break
        rank = {
            flags: (-len(ids), len(flags), len(_contradicted(flags, passing))) for flags, ids in cover.items()
        }
        order = [f.name for f in (*FLAGS, FLOAT32)]
        best = min(cover, key=lambda flags: (rank[flags], [order.index(name) for name in flags]))
        ids = cover[best]
        others = [
            flags for flags in cover if flags != best and rank[flags] == rank[best] and cover[flags] == ids
        ]
        contradicted = tuple(_contradicted(best, passing))
        findings.append(Finding(best, tuple(ids), len(explained), tuple(sorted(others)), contradicted))
        left = {id_: flags for id_, flags in left.items() if id_ not in ids}
    if left:
        findings.append(Finding((), tuple(left), len(explained), complete=complete))
    return findings


def _contradicted(flags: tuple[str, ...], passing: Sequence[Case]) -> list[str]:
    """Return the ids of the passing cases whose results would be different under any of the flags."""
    return [case.id for case in passing if any(name in case.flags for name in flags)]
