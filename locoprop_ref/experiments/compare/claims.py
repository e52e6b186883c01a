r"""The paper's three claims against the numbers, by one rule for all, whoever wins.

Two spreads (least to largest over seeds, or over blocks of timed steps) are *apart* where they do not
overlap; only then is one method better than another. Percentages compare medians (of seconds a step: the
means over all timed steps). A run that diverged has an infinite loss, and a mark that is never reached
infinite seconds.

Every variant of LocoProp stands by itself. Its criteria are

    loss      final train and final test loss, at equal epochs: each below that of every first-order method,
              apart; and not above that of the best second-order method, apart and by more than 5 %. Methods
              with another number of epochs, and so with another schedule, are named but not compared. Where
              the best of the group is among them, holding against the others is not enough: not measured
    time      seconds of a step, and seconds to RMSProp's final train loss: each below that of every
              second-order method, apart; the same seconds against the quickest first-order method are said
              but do not count, because the claim is about higher-order methods. A method with fewer epochs
              than RMSProp that does not come to that loss in them has no such seconds
    memory    peak of a step, and bytes of the state: each below that of every second-order method

A variant's verdict is "held" where every criterion holds, "not" where none does, else "partly"; the claim's
verdict follows from the variants' in the same way. "not measured" is a criterion without an opponent or
without numbers, and counts for neither side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from msgspec.structs import replace

from locoprop_ref.experiments.compare.summary import Row, Spread
from locoprop_ref.experiments.tuned import base_of, is_fast, members

FIRST_ORDER, SECOND_ORDER, LOCOPROP = members("first-order"), members("second-order"), members("LocoProp")
GROUPS = {"first-order": FIRST_ORDER, "second-order": SECOND_ORDER}
MARGIN = 0.05
Verdict = Literal["held", "partly", "not", "not measured"]


def _point(value: float | None) -> Spread | None:
    return None if value is None else Spread(value, value, value)


@dataclass(frozen=True)
class Criterion:
    """One comparison of a variant with a group of methods.

    Attributes:
        what: the quantity, in words.
        value: the quantity of a row.
        group: which methods.
        comparable: True where being comparable to the best of them is enough, else less than all is wanted.
        counts: whether the verdict rests on it.
        at_end: whether only methods with the same number of epochs are compared.
    """

    what: str
    value: Callable[[Row], Spread | None]
    group: Literal["first-order", "second-order"]
    comparable: bool = False
    counts: bool = True
    at_end: bool = False


_TO_MARK = "seconds to RMSProp's final train loss"
CLAIMS: dict[str, tuple[Criterion, ...]] = {
    "Loss: significantly better than first-order methods at equal epochs, comparable to second-order": (
        Criterion("train loss", lambda row: row.final_train, "first-order", at_end=True),
        Criterion("train loss", lambda row: row.final_train, "second-order", comparable=True, at_end=True),
        Criterion("test loss", lambda row: row.final_test, "first-order", at_end=True),
        Criterion("test loss", lambda row: row.final_test, "second-order", comparable=True, at_end=True),
    ),
    "Time: significantly faster than second-order methods": (
        Criterion("seconds a step", lambda row: row.step_seconds, "second-order"),
        Criterion(_TO_MARK, lambda row: row.seconds_to_mark, "second-order"),
        Criterion(_TO_MARK, lambda row: row.seconds_to_mark, "first-order", counts=False),
    ),
    "Memory: without the memory of second-order methods": (
        Criterion("peak of a step", lambda row: _point(row.peak), "second-order"),
        Criterion("bytes of the state", lambda row: _point(row.state), "second-order"),
    ),
}


@dataclass(frozen=True)
class Finding:
    """What came out of a criterion.

    Attributes:
        what: the quantity, in words.
        holds: None where it could not be measured.
        counts: whether the verdict rests on it.
        sentence: the opponent that decides, and by how many per cent.
    """

    what: str
    holds: bool | None
    counts: bool
    sentence: str


@dataclass(frozen=True)
class Variant:
    """The verdict on a variant of LocoProp, and what came out of every criterion."""

    verdict: Verdict
    tests: list[Finding]


@dataclass(frozen=True)
class Claim:
    """A claim, the verdict on it, and every variant by its label."""

    statement: str
    verdict: Verdict
    variants: dict[str, Variant]


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Return the three claims as the rows bear them out."""
    found = []
    for statement, criteria in CLAIMS.items():
        variants = {}
        for row in rows:
            if row.entry in LOCOPROP:
                findings = [_finding(criterion, row, rows) for criterion in criteria]
                verdict = verdict_of([finding.holds for finding in findings if finding.counts])
                variants[row.label] = Variant(verdict, findings)
        found.append(
            Claim(statement, overall_verdict([variant.verdict for variant in variants.values()]), variants)
        )
    return found


def fast_claims(rows: Sequence[Row]) -> list[Claim]:
    """Return the same claims for the settings of the fewest seconds, judged among themselves; [] without any.

    The mark to which they are timed stays the final train loss of RMSProp's tuned settings.
    """
    renamed = [replace(row, entry=base_of(row.entry)) for row in rows if is_fast(row.entry)]
    found = claims(renamed) if renamed else []
    return [Claim(f"{one.statement} (fast settings)", one.verdict, one.variants) for one in found]


def verdict_of(holds: Sequence[bool | None]) -> Verdict:
    """Return the verdict on what holds, does not, or (None) could not be measured.

    >>> verdict_of([True, False]), verdict_of([True, None]), verdict_of([None])
    ('partly', 'held', 'not measured')
    """
    measured = [one for one in holds if one is not None]
    if not measured:
        return "not measured"
    return "held" if all(measured) else "partly" if any(measured) else "not"


def overall_verdict(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on a claim from those on its variants.

    >>> overall_verdict(["held", "not"]), overall_verdict(["held", "not measured"])
    ('partly', 'held')
    """
    if "partly" in verdicts:
        return "partly"
    return verdict_of([{"held": True, "not": False}.get(verdict) for verdict in verdicts])


def apart(a: Spread, b: Spread) -> bool:
    """Tell whether two spreads do not overlap."""
    return a.high < b.low or b.high < a.low


def _finding(criterion: Criterion, row: Row, rows: Sequence[Row]) -> Finding:
    """Hold a variant against the methods of a group that have the quantity."""
    mine = criterion.value(row)
    known = [
        (other, theirs)
        for other in rows
        if other.entry in GROUPS[criterion.group] and (theirs := criterion.value(other)) is not None
    ]
    others = [(other, value) for other, value in known if not criterion.at_end or other.epochs == row.epochs]
    holds: bool | None = None
    if mine is None or not others:
        found = f"against {criterion.group} methods: not measured"
    else:
        best, theirs = min(others, key=lambda pair: pair[1].median)
        found = _against(criterion.what, mine, best, theirs, f"the best {criterion.group} method")
        not_beaten = [other.label for other, value in others if not mine.high < value.low]
        if criterion.comparable:
            worse = apart(mine, theirs) and mine.median > (1 + MARGIN) * theirs.median
            holds = isfinite(mine.median) and not worse
        else:
            holds = not not_beaten
            found += f"; not below: {', '.join(not_beaten)}" if len(not_beaten) > 1 else ""
    if len(others) < len(known):
        best_of_all = min(known, key=lambda pair: pair[1].median)[0]
        decided = best_of_all.epochs == row.epochs or holds is False
        found += _left_out([other for other, _ in known if other.epochs != row.epochs], decided)
        holds = holds if decided else None
    return Finding(criterion.what, holds, criterion.counts, f"{criterion.what} {found}")


def _left_out(others: Sequence[Row], decided: bool) -> str:
    """Return a sentence's end: the methods of another length, and whether that leaves the question open."""
    named = ", ".join(f"{other.label} ({other.epochs} epochs)" for other in others)
    return f"; of another length: {named}" + ("" if decided else ", the best one among them, so not decided")


def _against(what: str, mine: Spread, other: Row, theirs: Spread, role: str) -> str:
    """Return a sentence's end: by how much more or less than whom, and whether the spreads are apart."""
    who, infinite = f"{role}, {other.label}", "never reached" if what.startswith("seconds") else "diverged"
    if not isfinite(mine.median):
        return f"{infinite}; {who}: {f'{theirs.median:.4g}' if isfinite(theirs.median) else infinite}"
    if not isfinite(theirs.median):
        return f"{mine.median:.4g}; {who}: {infinite}"
    percent = 100 * (mine.median / theirs.median - 1) if theirs.median else inf
    amount = f"{abs(percent):.1f} % {'more' if percent > 0 else 'less'} than" if percent else "equal to"
    if mine.low == mine.high and theirs.low == theirs.high:
        return f"{amount} {who}"
    return f"{amount} {who}, the spreads {'apart' if apart(mine, theirs) else 'overlap'}"


def sentences(found: Sequence[Claim]) -> list[str]:
    """Return the claims in lines: the verdict, then every variant's."""
    lines = []
    for number, claim in enumerate(found, start=1):
        lines.append(f"({number}) {claim.statement}: {claim.verdict}.")
        for label, variant in claim.variants.items():
            findings = "; ".join(finding.sentence for finding in variant.tests)
            lines.append(f"    {label}: {variant.verdict}. {findings}.")
    return lines
