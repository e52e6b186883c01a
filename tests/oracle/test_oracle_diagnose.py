"""The diagnosis names what a target did differently, and says so when it cannot."""

import re

import numpy as np
import pytest

from locoprop_ref.oracle import cases, check
from locoprop_ref.oracle.conventions import FAMILY, QUICK, choices
from locoprop_ref.oracle.diagnose import imitation
from locoprop_ref.oracle.flags import BY_FLAG, FLAGS, FLOAT32
from locoprop_ref.oracle.own import own_target
from locoprop_ref.oracle.second_source import Inapplicable, context, evaluate, floats


def imitator(flags, cases_):
    """A target that computes with other conventions than it is told, where they mean something."""

    def as_floats(value):
        return [as_floats(part) for part in value] if isinstance(value, list) else float(value)

    def target(topic, conventions, inputs):
        change = {}
        for flag in flags:
            change |= flag.change if flag.concerns(topic, conventions) else {}
        ctx = floats() if topic in QUICK else context(bits=60)
        try:
            values = evaluate(topic, choices(conventions) | change, inputs, ctx=ctx)
        except Inapplicable:
            values = evaluate(topic, choices(conventions), inputs, ctx=ctx)
        return {name: np.array(as_floats(value)) for name, value in values.items()}

    return target


def a_few(flag):
    """Cases that reveal a flag, at most two a topic, and one that does not; whole networks if it must be."""
    chosen = []
    for topic in dict.fromkeys(case.topic for case in cases()):
        if topic in ("training", *QUICK) and chosen:
            continue
        revealing = [case for case in cases(topic) if flag.name in case.flags]
        others = [case for case in cases(topic) if flag.name not in case.flags]
        if flag.name == "PyPIPackage":  # which has no closed form
            others = [case for case in others if "closed" not in case.id]
        # of the family one case is enough: `test_oracle_family_mistakes.py` has them all
        chosen += revealing[: 1 if topic in FAMILY else 2] + others[: 1 if revealing else 0]
    return chosen


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flag_is_named_on_the_first_line(flag):
    chosen = a_few(flag)
    report = check(imitator([flag], chosen), chosen)
    best = report.findings[0]
    assert best.flags == (flag.name,) or (flag.name,) in best.others
    failing = {r.case.id for r in report.results if r.status in ("fail", "acceptable")}
    assert set(best.ids) == failing
    assert failing == {case.id for case in chosen if flag.name in case.flags}
    statuses = {r.status for r in report.results if r.case.id in best.ids}
    assert statuses == {"acceptable" if flag.kind == "variant" else "fail"}
    assert report.ok == (flag.kind == "variant")


def test_the_sentence_counts_and_names():
    chosen = cases("closed_form")
    report = check(imitator([BY_FLAG["LocalMean"]], chosen), chosen)
    line = report.text().split("Diagnosis\n  ")[1].split("\n")[0]
    when = "the local gradient is averaged over the batch (flag LocalMean; acceptable: variant)"
    assert re.fullmatch(rf"(\d+) of \1 failing cases match when {re.escape(when)}", line)
    assert "acceptable  closed_form/primal: variant LocalMean; W: " in report.text()
    strict = check(imitator([BY_FLAG["LocalMean"]], chosen), chosen, strict=True)
    assert not strict.ok


@pytest.mark.parametrize("names", [
    ("LocalMean", "TargetSignFlipped"),
    ("BiasLeftOut", "ProximalTermDoubled"),
    ("MeanSquareFromZeros", "LocalRateConstant"),
    ("TargetFromPostActivation", "LocalMean"),
])  # fmt: skip
def test_pairs_are_found_where_no_single_flag_explains(names):
    flags = [BY_FLAG[name] for name in names]
    chosen = [case for case in cases("local_steps") if set(names) <= set(case.flags)][:4]
    assert chosen
    report = check(imitator(flags, chosen), chosen)
    best = report.findings[0]
    assert set(best.flags) == set(names) or any(set(other) == set(names) for other in best.others)
    assert set(best.ids) == {case.id for case in chosen}


def test_two_mistakes_in_different_places_are_both_named():
    mean, flipped = imitator([BY_FLAG["LocalMean"]], ()), imitator([BY_FLAG["TargetSignFlipped"]], ())
    chosen = cases("closed_form") + cases("target")

    def target(topic, conventions, inputs):
        return (flipped if topic == "target" else mean)(topic, conventions, inputs)

    report = check(target, chosen)
    assert [finding.flags for finding in report.findings] == [("TargetSignFlipped",), ("LocalMean",)]
    assert "passing cases would fail under it" not in report.findings[1].text


def test_what_nothing_explains_is_said():
    own = own_target()

    def target(topic, conventions, inputs):
        return {name: value + 0.125 for name, value in own(topic, conventions, inputs).items()}

    chosen = cases("closed_form")[:2]
    report = check(target, chosen)
    assert [finding.flags for finding in report.findings] == [()]
    assert report.findings[0].text.startswith(
        "2 of 2 failing cases match no known deviation, alone or in pairs"
    )
    assert {r.status for r in report.results} == {"fail"}


def test_float32_arithmetic_is_named_and_is_no_finding_in_float32():
    own = own_target()

    def target(topic, conventions, inputs):
        narrow = {k: v.astype("float32") if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
        return own(topic, conventions, narrow)

    chosen = cases("closed_form") + cases("local_steps")[:4]
    report = check(target, chosen)
    assert report.findings[0].flags == (FLOAT32.name,)
    assert report.findings[0].ids == tuple(r.case.id for r in report.results if r.status == "fail")
    assert not report.ok
    check(target, chosen, dtype="float32").assert_ok()


def test_several_candidates_are_all_named():
    # optax's dialect differs from TensorFlow 1's in the start of the mean square alone
    case = next(case for case in cases("optimizer") if case.id == "optimizer/rmsprop-plain-tf1")
    report = check(imitator([BY_FLAG["MeanSquareFromZeros"]], [case]), [case])
    assert {report.findings[0].flags, *report.findings[0].others} == {
        ("MeanSquareFromZeros",),
        ("DialectOptax",),
    }
    assert "DialectOptax would explain them too" in report.findings[0].text


def test_an_imitation_without_meaning_is_none():
    case = next(case for case in cases("closed_form") if case.id == "closed_form/primal")
    assert imitation(case, (BY_FLAG["WeightsTransposed"],)) is None


def test_without_mpmath_the_report_is_whole(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mpmath", None)
    context.cache_clear()
    report = check(lambda *a: {"W": np.zeros((2, 3)), "b": np.zeros(3)}, cases("closed_form")[:1])
    context.cache_clear()
    assert report.results[0].status == "fail"
    assert report.problems == ["the diagnosis needs mpmath: install locoprop-ref[oracle]"]
