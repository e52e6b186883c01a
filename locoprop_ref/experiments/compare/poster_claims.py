r"""The four claims of alternating minimization's announcement against the numbers, by one rule for all.

Everything is compared in test accuracy, as spreads (least to largest over seeds), which are *apart* where
they do not overlap: only then is one method better than another. A run that diverged has an accuracy of 0
from there on. Every variant of alternating minimization (AM) stands by itself. Its criteria are

    offline    accuracy after the first epoch, and at the end: each above that of every method that takes all
               images in every step, apart. Of those the iteration counts that is their best on the test set,
               which is in their favour
    faster     accuracy after steps 5, 10, 20 and 50: each above SGD's and Adam's, apart. Adam's rate, its
               momenta and its ε are tuned like AM's. AM-Adam has to be above Adam with AM-Adam's own rate,
               momenta and ε as well; how much of its lead is left over that one is said, but does not count.
               (The same ε is not the same everywhere: AM's gradients are γ_m·B times BackProp's, and Adam
               divides that out but for its ε)
    later      accuracy at the end: not below Adam's, apart and by more than 0.2 points
    binary     with a first layer of sign units, accuracy at the end: above that of the straight-through
               estimator and of difference target propagation, apart; and above that of the control, whose
               first layer stays as it was drawn, apart. The straight-through estimator and DTP are held
               against the control too, which does not count

A variant's verdict is "held" where every criterion holds, "not" where none does, else "partly"; the claim's
verdict follows from the variants' in the same way, see `claims`. "not measured" is a criterion without an
opponent or without numbers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from locoprop_ref.experiments.compare.claims import (
    Claim,
    Finding,
    Variant,
    apart,
    overall_verdict,
    verdict_of,
)
from locoprop_ref.experiments.compare.folder import Results
from locoprop_ref.experiments.compare.plan import is_offline
from locoprop_ref.experiments.compare.summary import Spread, finished, spread

VARIANTS = ("am-sgd", "am-adam", "am-mem")
STEPS = (5, 10, 20, 50)
MARGIN = 0.002  # of accuracy: 0.2 points
PRESETS = ("poster", "poster-signs")

Accuracy = Callable[[Mapping[str, Any]], float | None]


def at_step(run: Mapping[str, Any], step: int) -> float | None:
    """Return the test accuracy of a run after a step, 0 once it diverged, None where not evaluated."""
    for row in run["epochs"]:
        for one in row.get("steps", []):
            if one["step"] == step:
                return float(one["test"].get("accuracy") or 0.0)
    return 0.0 if run["status"] == "diverged" else None


def at_epoch(run: Mapping[str, Any], epoch: int) -> float | None:
    """Return the test accuracy of a run after an epoch, 0 after it diverged, None where it is not there."""
    if epoch < len(run["epochs"]):
        return float(run["epochs"][epoch]["test"]["accuracy"])
    return 0.0 if run["status"] == "diverged" else None


def at_end(run: Mapping[str, Any]) -> float:
    """Return the test accuracy of a run after its last epoch, 0 if it diverged."""
    return 0.0 if run["status"] == "diverged" else float(run["epochs"][-1]["test"]["accuracy"])


def at_best(run: Mapping[str, Any]) -> float:
    """Return the largest test accuracy of a run after any of its epochs."""
    return max(float(row["test"]["accuracy"]) for row in run["epochs"])


def accuracies(results: Results, entry: str, of: Accuracy) -> Spread | None:
    """Return the spread of an accuracy over an entry's finished runs, None where one of them lacks it."""
    if entry not in results.runs:
        return None
    found = [of(run) for run in finished(results, entry).values()]
    known = [value for value in found if value is not None]
    return spread(known) if len(known) == len(found) else None


def poster_claims(results: Results) -> list[Claim]:
    """Return the claims that a results folder of the presets poster and poster-signs can judge."""
    if results.manifest.preset == "poster-signs":
        statements = {"Binary: better than straight-through and target propagation with sign units": _binary}
    else:
        statements = {
            "Offline: online alternating minimization beats offline methods": _offline,
            "Faster: ahead of SGD and Adam within the first epoch": _faster,
            "Later: as good as Adam in the end": _later,
        }
    return [_claim(results, statement, findings) for statement, findings in statements.items()]


def _claim(results: Results, statement: str, findings: Callable[[Results, str], Iterator[Finding]]) -> Claim:
    variants = {}
    for entry in VARIANTS:
        if entry in results.manifest.entries:
            found = list(findings(results, entry))
            verdict = verdict_of([one.holds for one in found if one.counts])
            variants[results.manifest.entries[entry].label] = Variant(verdict, found)
    return Claim(statement, overall_verdict([variant.verdict for variant in variants.values()]), variants)


def _offline(results: Results, entry: str) -> Iterator[Finding]:
    others = [name for name in results.manifest.entries if is_offline(name)]
    for what, of in (("after the first epoch", partial(at_epoch, epoch=1)), ("at the end", at_end)):
        if not others:
            yield _not_measured(f"accuracy {what}", "methods that take all images at once")
        for other in others:
            yield _above(results, f"accuracy {what}", entry, of, other, at_best)


def _faster(results: Results, entry: str) -> Iterator[Finding]:
    opponents = ("sgd", "adam", "adam-as-am") if entry == "am-adam" else ("sgd", "adam")
    for step in STEPS:
        of = partial(at_step, step=step)
        for other in opponents:
            yield _above(results, f"accuracy after step {step}", entry, of, other, of)
    if entry == "am-adam":
        for step in STEPS:
            yield _what_is_left(results, step)


def _what_is_left(results: Results, step: int) -> Finding:
    """Say how much of AM-Adam's lead over Adam is left over Adam in AM-Adam's settings."""
    names, of = ("am-adam", "adam", "adam-as-am"), partial(at_step, step=step)
    found = [accuracies(results, name, of) for name in names]
    what = f"difference after step {step}"
    if any(one is None for one in found):
        return _not_measured(what, "Adam in two settings", counts=False)
    mine, adam, same = (one.median for one in found if one is not None)
    return Finding(
        what,
        None,
        False,
        f"{what}: AM-Adam {_points(mine - adam)} against tuned Adam, {_points(mine - same)} against Adam "
        f"with AM-Adam's rate, momenta and ε; those settings alone {_points(same - adam)}",
    )


def _later(results: Results, entry: str) -> Iterator[Finding]:
    what = "accuracy at the end"
    mine, theirs = (accuracies(results, name, at_end) for name in (entry, "adam"))
    if mine is None or theirs is None:
        yield _not_measured(what, "Adam")
        return
    worse = apart(mine, theirs) and theirs.median - mine.median > MARGIN
    yield Finding(what, not worse, True, _sentence(results, what, mine, "adam", theirs))


def _binary(results: Results, entry: str) -> Iterator[Finding]:
    what = "accuracy at the end"
    for other in ("ste", "dtp", "ste-frozen"):
        yield _above(results, what, entry, at_end, other, at_end)
    for other in ("ste", "dtp"):
        label = results.manifest.entries[other].label if other in results.manifest.entries else other
        yield _above(results, f"{label}: {what}", other, at_end, "ste-frozen", at_end, counts=False)


def _above(
    results: Results,
    what: str,
    entry: str,
    of: Accuracy,
    other: str,
    of_other: Accuracy,
    *,
    counts: bool = True,
) -> Finding:
    """Hold an entry against another: its accuracy is to be above, apart."""
    mine, theirs = accuracies(results, entry, of), accuracies(results, other, of_other)
    if mine is None or theirs is None:
        return _not_measured(what, _label(results, other), counts=counts)
    return Finding(what, mine.low > theirs.high, counts, _sentence(results, what, mine, other, theirs))


def _not_measured(what: str, whom: str, *, counts: bool = True) -> Finding:
    return Finding(what, None, counts, f"{what} against {whom}: not measured")


def _sentence(results: Results, what: str, mine: Spread, other: str, theirs: Spread) -> str:
    verdict = ", the spreads apart" if apart(mine, theirs) else ", the spreads overlap"
    if mine.low == mine.high and theirs.low == theirs.high:  # a single seed has no spread
        verdict = ""
    ahead = mine.median - theirs.median
    return (
        f"{what} {_percent(mine)}, {_points(ahead)} against {_label(results, other)}, {_percent(theirs)}"
        f"{verdict}"
    )


def _label(results: Results, entry: str) -> str:
    return results.manifest.entries[entry].label if entry in results.manifest.entries else entry


def _percent(value: Spread) -> str:
    median, low, high = (f"{100 * share:.2f}" for share in (value.median, value.low, value.high))
    return f"{median} %" if value.low == value.high else f"{median} % ({low} to {high})"


def _points(share: float) -> str:
    """Return a difference of accuracies in percentage points, with its sign.

    >>> _points(0.0123), _points(-0.002)
    ('+1.23 points', '−0.20 points')
    """
    return f"{100 * share:+.2f} points".replace("-", "−")


def decided(found: Sequence[Claim]) -> dict[str, str]:
    """Return the verdicts by the first word of their claims.

    >>> decided([Claim("Later: as good as Adam in the end", "held", {})])
    {'Later': 'held'}
    """
    return {claim.statement.partition(":")[0]: claim.verdict for claim in found}
