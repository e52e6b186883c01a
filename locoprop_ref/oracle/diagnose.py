"""The diagnosis: the changed convention under which the second source agrees with an implementation.

Every failing case is computed again under each flag that it reveals, and under pairs of flags if no single
flag explains it. A flag matches a case if all numbers agree to within a few tolerances. Cases with missing or
superfluous outputs come first. The other findings are ranked by the number of cases that they concern; the
cases that nothing explains count in this order, too, so that a name that explains a few cases does not stand
above the many that it does not explain.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import combinations

from tqdm import tqdm

from locoprop_ref.oracle import symptoms
from locoprop_ref.oracle.finding import Finding, flag_of
from locoprop_ref.oracle.flags import ARITHMETIC, BY_FLAG, FLAGS
from locoprop_ref.oracle.imitate import Flags, distance, imitation, matches
from locoprop_ref.oracle.outcome import Result
from locoprop_ref.oracle.second_source import floats
from locoprop_ref.oracle.vectors import Case

__all__ = ["Finding", "diagnose"]

Names = tuple[str, ...]
# All pairs are tried on this number of unexplained cases of a topic; on the others only those found before.
THOROUGH = 3
# A name that explains less than this share of the failing cases that it would change is no explanation.
CREDIBLE = 0.25


def diagnose(results: Sequence[Result], dtype: str, *, seconds: float = 60.0) -> list[Finding]:
    """Explain the failing cases of a check.

    Args:
        results: all results; the passing ones decide between flags that explain equally many cases.
        dtype: the dtype of the check.
        seconds: time for the search; single flags are always tried, pairs only until the time is over.

    Returns:
        findings: first the cases with missing or superfluous outputs, then the findings that concern most
        cases. Findings without flags have the cases that no flag explains.

    Raises:
        ImportError: mpmath, which the second source needs, is not installed.
    """
    failing = [r for r in results if r.status == "fail"]
    if failing:
        floats()  # without mpmath there is no diagnosis
    end = time.monotonic() + seconds
    explained: dict[str, set[Names]] = {}
    words: dict[str, tuple[str, bool]] = {}
    for result in tqdm(failing, desc="diagnosing", unit="case", disable=None, leave=False):
        explained[result.case.id] = {
            _names(flags) for flags in _matching(result, _singles(result.case), dtype)
        }
        symptom = symptoms.of(result)
        if symptom and not explained[result.case.id]:
            words[result.case.id] = symptom
    # a deviation that is worth its name changes more than the last digits
    open_ = [r for r in failing if r.case.id not in words and not symptoms.small(r, dtype)]
    complete = _pairs(open_, explained, dtype, end)
    passing = [r.case for r in results if r.status == "pass"]
    findings, left = _ranked(explained, failing, passing, dtype)
    return _ordered(findings + _without_name(left, failing, words, complete, dtype))


def _names(flags: Flags) -> Names:
    return tuple(flag.name for flag in flags)


def _singles(case: Case) -> Iterator[Flags]:
    for flag in ARITHMETIC.values():
        yield (flag,)
    for name in case.flags:
        if name in BY_FLAG:
            yield (BY_FLAG[name],)


def _pairs(failing: Sequence[Result], explained: dict[str, set[Names]], dtype: str, end: float) -> bool:
    """Try pairs on the cases that no single flag explains; return whether there was time for all pairs."""
    found: list[Flags] = []
    tried: dict[str, int] = {}
    complete = True
    open_ = [r for r in failing if not explained[r.case.id]]
    for result in sorted(open_, key=_effort):
        # pairs that explained another case are tried first, even if the time is over
        matching = list(_matching(result, iter(found), dtype))
        topic = result.case.topic
        if not matching and tried.get(topic, 0) < THOROUGH:
            tried[topic] = tried.get(topic, 0) + 1
            pairs = _until(end, _all_pairs(result.case))
            matching = list(_matching(result, pairs, dtype))
            complete = complete and time.monotonic() <= end
            found += [pair for pair in matching if pair not in found]
        explained[result.case.id] = {_names(flags) for flags in matching}
    return complete


def _effort(result: Result) -> float:
    """Return a measure of the time that an imitation takes: numbers times steps."""
    inputs = result.case.inputs
    numbers = sum(getattr(value, "size", 1) for value in inputs.values())
    return float(numbers * inputs.get("num_local_steps", 1) * (9 if "exact" in str(result.case.id) else 1))


def _until(end: float, pairs: Iterator[Flags]) -> Iterator[Flags]:
    for pair in pairs:
        if time.monotonic() > end:
            return
        yield pair


def _all_pairs(case: Case) -> Iterator[Flags]:
    concerned = [flag for flag in FLAGS if flag.concerns(case.topic, case.conventions)]
    yield from ((BY_FLAG[n], flag) for flag in ARITHMETIC.values() for n in case.flags if n in BY_FLAG)
    for pair in combinations(concerned, 2):
        disjoint = not set(pair[0].change) & set(pair[1].change)
        if disjoint and any(flag.name in case.flags for flag in pair):
            yield pair


def _matching(result: Result, candidates: Iterator[Flags], dtype: str) -> Iterator[Flags]:
    if {kind for kind, _ in result.structure} & {"missing", "extra"}:
        return iter(())
    return (flags for flags in candidates if matches(result.case, result.got or {}, flags, dtype))


# ranking --------------------------------------------------------------------------------------------


def _ranked(
    explained: dict[str, set[Names]], failing: Sequence[Result], passing: Sequence[Case], dtype: str
) -> tuple[list[Finding], list[str]]:
    """Repeatedly take the flags that explain most of the remaining cases; also return what remains."""
    left = {id_: set(flags) for id_, flags in explained.items()}
    findings: list[Finding] = []
    while True:
        cover: dict[Names, list[str]] = {}
        for id_, candidates in left.items():
            for flags in candidates:
                cover.setdefault(flags, []).append(id_)
        if not cover:
            return findings, list(left)
        finding = _best(cover, failing, passing, dtype, len(explained))
        if len(finding.ids) < CREDIBLE * (len(finding.ids) + finding.unmatched):
            left = {id_: flags - {finding.flags} for id_, flags in left.items()}
            continue
        findings.append(finding)
        left = {id_: flags for id_, flags in left.items() if id_ not in finding.ids}


def _best(
    cover: dict[Names, list[str]],
    failing: Sequence[Result],
    passing: Sequence[Case],
    dtype: str,
    total: int,
) -> Finding:
    rank = {
        flags: (-len(ids), len(flags), sum(_would_show(flags, case) for case in passing))
        for flags, ids in cover.items()
    }
    order = [flag.name for flag in (*FLAGS, *ARITHMETIC.values())]
    best = min(cover, key=lambda flags: (rank[flags], [order.index(name) for name in flags]))
    ids = cover[best]
    others = [flags for flags in cover if flags != best and rank[flags] == rank[best] and cover[flags] == ids]
    contradicted = tuple(case.id for case in passing if _contradicts(best, case, dtype))
    unmatched = sum(r.case.id not in ids and _would_show(best, r.case) and not r.structure for r in failing)
    malformed = any(r.structure for r in failing if r.case.id in ids)
    return Finding(
        best, tuple(ids), total, tuple(sorted(others)), contradicted,
        unmatched=unmatched if len(best) == 1 else 0, malformed=malformed,
    )  # fmt: skip


def _would_show(flags: Names, case: Case) -> bool:
    return any(name in case.flags for name in flags)


def _contradicts(flags: Names, case: Case, dtype: str) -> bool:
    """Return whether a passing case would fail under the flags."""
    if not _would_show(flags, case):
        return False
    values = imitation(case, tuple(flag_of(name) for name in flags if name not in ARITHMETIC))
    return values is not None and distance(case, values, case.expected) > 4 * case.tolerance[dtype]


def _without_name(
    left: list[str],
    failing: Sequence[Result],
    words: dict[str, tuple[str, bool]],
    complete: bool,
    dtype: str,
) -> list[Finding]:
    """Return a finding for every symptom, and one for the cases about which nothing is known."""
    total, groups = len(failing), symptoms.grouped(words)
    findings = [
        Finding((), tuple(ids), total, words=text, malformed=malformed)
        for (text, malformed), ids in groups.items()
    ]
    rest = [r for r in failing if r.case.id in left and r.case.id not in words]
    small = [r for r in rest if symptoms.small(r, dtype)]
    large = [r for r in rest if r not in small]
    if small:
        text = symptoms.small_words(small)
        findings.append(Finding((), tuple(r.case.id for r in small), total, words=text))
    if large:
        ids = tuple(r.case.id for r in large)
        findings.append(Finding((), ids, total, complete=complete))
    return findings


def _ordered(findings: list[Finding]) -> list[Finding]:
    """Return the findings, malformed cases first, then by the number of cases; names before none."""
    return sorted(findings, key=lambda f: (not f.malformed, -len(f.ids), not f.flags))
