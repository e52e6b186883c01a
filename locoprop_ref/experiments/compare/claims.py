r"""The paper's three claims against the numbers, by one rule for all, whoever wins.

Two spreads (least to largest over seeds, or over blocks of timed steps) are *apart* where they do not
overlap; only then is one contestant better than another. Per cents compare medians (of seconds a step: the
means over all timed steps). A run that diverged has
an infinite loss, a mark that is never reached infinite seconds.

Every variant of LocoProp stands by itself. Its tests are

    loss      final train and final test loss, at equal epochs: each below that of every first-order method,
              apart; and not above that of the best second-order method, apart and by more than 5 %
    time      seconds of a step, and seconds to RMSProp's final train loss: each below that of every
              second-order method, apart; the same seconds against the quickest first-order method are said
              but do not count, because the claim is about higher-order methods
    memory    peak of a step, and bytes of the state: each below that of every second-order method

A variant's verdict is "held" where every test holds, "not" where none does, else "partly"; the claim's
verdict follows from the variants' in the same way. "not measured" is a test without an opponent or without
numbers, and counts for neither side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from locoprop_ref.experiments.compare.summary import Row, Spread

FIRST_ORDER = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
SECOND_ORDER = ("shampoo", "kfac", "foof")
LOCOPROP = ("locoprop-s", "locoprop-s-closed", "locoprop-m")
MARGIN = 0.05
Value = Callable[[Row], Spread | None]


@dataclass(frozen=True)
class Finding:
    """One comparison of a variant with a group of methods.

    Attributes:
        what: the quantity, in words.
        holds: None where it could not be measured.
        counts: whether the verdict rests on it.
        sentence: what came out, with the opponent that decides and the per cents.
    """

    what: str
    holds: bool | None
    counts: bool
    sentence: str


@dataclass(frozen=True)
class Claim:
    """A claim, the verdict on it, and every variant's verdict and tests by its label."""

    statement: str
    verdict: str
    variants: dict[str, tuple[str, list[Finding]]]


def claims(rows: Sequence[Row]) -> list[Claim]:
    """Return the three claims as the rows bear them out."""
    variants = [row for row in rows if row.contestant in LOCOPROP]
    first = [row for row in rows if row.contestant in FIRST_ORDER]
    second = [row for row in rows if row.contestant in SECOND_ORDER]
    return [
        _claim(
            "Loss: significantly better than first-order methods at equal epochs, comparable to second-order",
            {row.label: _loss_tests(row, first, second) for row in variants},
        ),
        _claim(
            "Time: significantly faster than second-order methods",
            {row.label: _time_tests(row, first, second) for row in variants},
        ),
        _claim(
            "Memory: without the memory of second-order methods",
            {row.label: _memory_tests(row, second) for row in variants},
        ),
    ]


def _claim(statement: str, tests: dict[str, list[Finding]]) -> Claim:
    verdicts = {
        name: _verdict([test.holds for test in found if test.counts]) for name, found in tests.items()
    }
    summed = {"held": True, "not": False}
    if "partly" in verdicts.values():
        overall = "partly"
    else:
        overall = _verdict([summed.get(verdict) for verdict in verdicts.values()])
    return Claim(statement, overall, {name: (verdicts[name], found) for name, found in tests.items()})


def _verdict(holds: Sequence[bool | None]) -> str:
    measured = [one for one in holds if one is not None]
    if not measured:
        return "not measured"
    return "held" if all(measured) else "partly" if any(measured) else "not"


def apart(a: Spread, b: Spread) -> bool:
    """Tell whether two spreads do not overlap."""
    return a.high < b.low or b.high < a.low


def _loss_tests(row: Row, first: Sequence[Row], second: Sequence[Row]) -> list[Finding]:
    tests = []
    for split, value in (("train", _final_train), ("test", _final_test)):
        tests.append(_less_than_all(f"{split} loss", row, first, value, "first-order"))
        tests.append(_comparable(f"{split} loss", row, second, value))
    return tests


def _time_tests(row: Row, first: Sequence[Row], second: Sequence[Row]) -> list[Finding]:
    return [
        _less_than_all("seconds a step", row, second, lambda r: r.step_seconds, "second-order"),
        _less_than_all(
            "seconds to RMSProp's final train loss", row, second, lambda r: r.seconds_to_mark, "second-order"
        ),
        _less_than_all(
            "seconds to RMSProp's final train loss",
            row, first, lambda r: r.seconds_to_mark, "first-order", counts=False,
        ),
    ]  # fmt: skip


def _memory_tests(row: Row, second: Sequence[Row]) -> list[Finding]:
    return [
        _less_than_all("peak of a step", row, second, lambda r: _point(r.peak), "second-order"),
        _less_than_all("bytes of the state", row, second, lambda r: _point(r.state), "second-order"),
    ]


def _final_train(row: Row) -> Spread | None:
    return row.final_train


def _final_test(row: Row) -> Spread | None:
    return row.final_test


def _point(value: float | None) -> Spread | None:
    return None if value is None else Spread(value, value, value)


def _best(rows: Sequence[Row], value: Value) -> tuple[Row, Spread] | None:
    """Return the row with the least median, and its spread."""
    known = [(row, found) for row in rows if (found := value(row)) is not None]
    return min(known, key=lambda pair: pair[1].median) if known else None


def _less_than_all(
    what: str, row: Row, others: Sequence[Row], value: Value, group: str, *, counts: bool = True
) -> Finding:
    """Finding whether the row's spread lies below every other's."""
    mine, best = value(row), _best(others, value)
    if mine is None or best is None:
        return Finding(what, None, counts, f"{what} against {group} methods: not measured")
    known = [(other, found) for other in others if (found := value(other)) is not None]
    not_beaten = [other.label for other, found in known if not mine.high < found.low]
    tail = f"; not below: {', '.join(not_beaten)}" if len(not_beaten) > 1 else ""
    sentence = f"{what} {_against(what, mine, *best, f'the best {group} method')}{tail}"
    return Finding(what, not not_beaten, counts, sentence)


def _comparable(what: str, row: Row, second: Sequence[Row], value: Value) -> Finding:
    """Finding whether the row is not worse than the best second-order method, apart and by more than 5 %."""
    mine, best = value(row), _best(second, value)
    if mine is None or best is None:
        return Finding(what, None, True, f"{what} against second-order methods: not measured")
    theirs = best[1]
    worse = apart(mine, theirs) and mine.median > (1 + MARGIN) * theirs.median
    holds = isfinite(mine.median) and not worse
    return Finding(what, holds, True, f"{what} {_against(what, mine, *best, 'the best second-order method')}")


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
        for label, (verdict, tests) in claim.variants.items():
            lines.append(f"    {label}: {verdict}. " + "; ".join(test.sentence for test in tests) + ".")
    return lines


def as_json(found: Sequence[Claim]) -> list[dict[str, Any]]:
    """Return the claims as JSON values."""
    return [
        {
            "statement": claim.statement,
            "verdict": claim.verdict,
            "variants": {
                label: {
                    "verdict": verdict,
                    "tests": [
                        {"what": t.what, "holds": t.holds, "counts": t.counts, "sentence": t.sentence}
                        for t in tests
                    ],
                }
                for label, (verdict, tests) in claim.variants.items()
            },
        }
        for claim in found
    ]
