"""The diagnosis: the changed convention under which the second source agrees with an implementation.

Every failing case is computed again under each flag that it reveals, and under pairs of flags if no single
flag explains it. A flag matches a case if all numbers agree to within a few tolerances. Cases with missing or
superfluous outputs come first. The other findings are ranked by the number of cases that they concern; the
cases that nothing explains count in this order, too, so that a name that explains a few cases does not stand
above the many that it does not explain.
"""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Search:
    """What the diagnosis searches: the cases, the dtype of the check, and the moment at which it stops."""

    failing: Sequence[Result]
    passing: Sequence[Case]
    dtype: str
    end: float

    @property
    def over(self) -> bool:
        return time.monotonic() > self.end


def diagnose(results: Sequence[Result], dtype: str, *, seconds: float = 60.0) -> list[Finding]:
    """Explain the failing cases of a check.

    Args:
        results: all results; the passing ones decide between flags that explain equally many cases.
        dtype: the dtype of the check.
        seconds: time for the search. Single flags are tried before pairs, and every topic has its turn;
            cases for which the time was too short are said to be so.

    Returns:
        findings: first the cases with missing or superfluous outputs, then the findings that concern most
        cases. Findings without flags have the cases that no flag explains.

    Raises:
        ImportError: mpmath, which the second source needs, is not installed.
    """
    end = time.monotonic() + seconds
    failing = [r for r in results if r.status == "fail"]
    if failing:
        floats()  # without mpmath there is no diagnosis
    search = _Search(failing, [r.case for r in results if r.status == "pass"], dtype, end)
    explained, late = _singly(search)
    words = {r.case.id: s for r in failing if not explained[r.case.id] and (s := symptoms.of(r))}
    late -= set(words)
    # a deviation that is worth its name changes more than the last digits
    open_ = [r for r in failing if r.case.id not in {*words, *late} and not symptoms.small(r, dtype)]
    complete = _pairs(search, open_, explained)
    findings, left = _ranked(search, explained, late)
    return _ordered(findings + _without_name(search, left, words, late, complete))


def _singly(search: _Search) -> tuple[dict[str, set[Names]], set[str]]:
    """Return the single flags that explain each case, and the cases for which the time was too short."""
    explained: dict[str, set[Names]] = {result.case.id: set() for result in search.failing}
    late = set()
    for result in tqdm(_by_turns(search.failing), desc="diagnosing", unit="case", disable=None, leave=False):
        flags = _until(search, _singles(result.case))
        found = {_names(one) for one in _matching(result, flags, search.dtype)}
        # what was found before the time was over may be one of several explanations
        if search.over:
            late.add(result.case.id)
        else:
            explained[result.case.id] = found
    return explained, late


def _by_turns(failing: Sequence[Result]) -> list[Result]:
    """Order cases so that every topic has its turn, the cheapest cases first."""
    turns: Counter[str] = Counter()
    ordered = []
    for result in sorted(failing, key=_effort):
        ordered.append((turns[result.case.topic], _effort(result), result))
        turns[result.case.topic] += 1
    return [result for *_, result in sorted(ordered, key=lambda row: row[:2])]


def _names(flags: Flags) -> Names:
    return tuple(flag.name for flag in flags)


def _singles(case: Case) -> Iterator[Flags]:
    for flag in ARITHMETIC.values():
        yield (flag,)
    for name in case.flags:
        if name in BY_FLAG:
            yield (BY_FLAG[name],)


def _pairs(search: _Search, failing: Sequence[Result], explained: dict[str, set[Names]]) -> bool:
    """Try pairs on the cases that no single flag explains; return whether there was time for all pairs."""
    found: list[Flags] = []
    tried: dict[str, int] = {}
    open_ = [r for r in failing if not explained[r.case.id]]
    for result in sorted(open_, key=_effort):
        # pairs that explained another case are tried first
        matching = list(_matching(result, _until(search, iter(found)), search.dtype))
        topic = result.case.topic
        if not matching and tried.get(topic, 0) < THOROUGH:
            tried[topic] = tried.get(topic, 0) + 1
            matching = list(_matching(result, _until(search, _all_pairs(result.case)), search.dtype))
            found += [pair for pair in matching if pair not in found]
        explained[result.case.id] = {_names(flags) for flags in matching}
    return not (open_ and search.over)


def _effort(result: Result) -> float:
    """Return a measure of the time that an imitation takes: numbers times steps."""
    inputs = result.case.inputs
    numbers = sum(getattr(value, "size", 1) for value in inputs.values())
    return float(numbers * inputs.get("num_local_steps", 1) * (9 if "exact" in str(result.case.id) else 1))


def _until(search: _Search, candidates: Iterator[Flags]) -> Iterator[Flags]:
    for flags in candidates:
        if search.over:
            return
        yield flags


def _all_pairs(case: Case) -> Iterator[Flags]:
    concerned = [flag for flag in FLAGS if flag.concerns(case.topic, case.conventions)]
    yield from ((BY_FLAG[n], flag) for flag in ARITHMETIC.values() for n in case.flags if n in BY_FLAG)
    for pair in itertools.combinations(concerned, 2):
        disjoint = not set(pair[0].change) & set(pair[1].change)
        if disjoint and any(flag.name in case.flags for flag in pair):
            yield pair


def _matching(result: Result, candidates: Iterator[Flags], dtype: str) -> Iterator[Flags]:
    if {kind for kind, _ in result.structure} & {"missing", "extra"}:
        return iter(())
    return (flags for flags in candidates if matches(result.case, result.got or {}, flags, dtype))


# ranking --------------------------------------------------------------------------------------------


def _ranked(
    search: _Search, explained: dict[str, set[Names]], late: set[str]
) -> tuple[list[Finding], list[str]]:
    """Repeatedly take the flags that explain most of the remaining cases; also return what remains."""
    left = {id_: set(flags) for id_, flags in explained.items() if id_ not in late}
    findings: list[Finding] = []
    while True:
        cover: dict[Names, list[str]] = {}
        for id_, candidates in left.items():
            for flags in candidates:
                cover.setdefault(flags, []).append(id_)
        if not cover:
            return findings, list(left)
        finding = _best(search, cover, explained, late)
        if len(finding.ids) < CREDIBLE * (len(finding.ids) + finding.unmatched):
            left = {id_: flags - {finding.flags} for id_, flags in left.items()}
            continue
        findings.append(finding)
        left = {id_: flags for id_, flags in left.items() if id_ not in finding.ids}


def _best(
    search: _Search, cover: dict[Names, list[str]], explained: dict[str, set[Names]], late: set[str]
) -> Finding:
    rank = {
        flags: (-len(ids), len(flags), sum(_would_show(flags, case) for case in search.passing))
        for flags, ids in cover.items()
    }
    order = [flag.name for flag in (*FLAGS, *ARITHMETIC.values())]
    best = min(cover, key=lambda flags: (rank[flags], [order.index(name) for name in flags]))
    ids = cover[best]
    others = [flags for flags in cover if flags != best and rank[flags] == rank[best] and cover[flags] == ids]
    contradicted, unchecked = _contradicted(search, best)
    # a case that the same flags explain together with a further one is not held against them
    with_another = {id_ for id_, found in explained.items() if any(set(best) < set(flags) for flags in found)}
    settled = {*ids, *with_another, *late}
    unmatched = sum(
        _would_show(best, r.case) for r in search.failing if r.case.id not in settled and not r.structure
    )
    malformed = any(r.structure for r in search.failing if r.case.id in ids)
    return Finding(
        best, tuple(ids), len(search.failing), tuple(sorted(others)), contradicted,
        unmatched=unmatched if len(best) == 1 else 0, malformed=malformed, unchecked=unchecked,
    )  # fmt: skip


def _contradicted(search: _Search, flags: Names) -> tuple[tuple[str, ...], int]:
    """Return the passing cases that would fail under the flags, and how many the time was too short for."""
    concerned = [case for case in search.passing if _would_show(flags, case)]
    if len(flags) == 1 and search.dtype == "float64":
        return tuple(case.id for case in concerned), 0  # this is what the flags of a case say
    checked = list(itertools.takewhile(lambda case: not search.over, concerned))
    contradicted = tuple(case.id for case in checked if _contradicts(flags, case, search.dtype))
    return contradicted, len(concerned) - len(checked)


def _would_show(flags: Names, case: Case) -> bool:
    return any(name in case.flags for name in flags)


def _contradicts(flags: Names, case: Case, dtype: str) -> bool:
    """Return whether a passing case would fail under the flags."""
    values = imitation(case, tuple(flag_of(name) for name in flags if name not in ARITHMETIC))
    return values is not None and distance(case, values, case.expected) > 4 * case.tolerance[dtype]


def _without_name(
    search: _Search, left: list[str], words: dict[str, tuple[str, bool]], late: set[str], complete: bool
) -> list[Finding]:
    """Return a finding for every symptom, for what was not searched, and for what nothing is known about."""
    total, groups = len(search.failing), symptoms.grouped(words)
    findings = [
        Finding((), tuple(ids), total, words=text, malformed=malformed)
        for (text, malformed), ids in groups.items()
    ]
    rest = [r for r in search.failing if r.case.id in left and r.case.id not in words]
    small = [r for r in rest if symptoms.small(r, search.dtype)]
    large = [r for r in rest if r not in small]
    if small:
        text = symptoms.small_words(small)
        findings.append(Finding((), tuple(r.case.id for r in small), total, words=text))
    if large:
        ids = tuple(r.case.id for r in large)
        findings.append(Finding((), ids, total, complete=complete))
    if late:
        ids = tuple(r.case.id for r in search.failing if r.case.id in late)
        findings.append(Finding((), ids, total, words=symptoms.NOT_SEARCHED))
    return findings


def _ordered(findings: list[Finding]) -> list[Finding]:
    """Return the findings, malformed cases first, then by the number of cases, names before none.

    What was not searched comes last: it says nothing about the implementation.
    """

    def place(finding: Finding) -> tuple[bool, bool, int, bool]:
        late = finding.words == symptoms.NOT_SEARCHED
        return not finding.malformed, late, -len(finding.ids), not finding.flags

    return sorted(findings, key=place)
