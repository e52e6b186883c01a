"""What the report may say: nothing that is malformed passes, no small number of cases names the whole."""

import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_oracle_diagnose import imitator

from locoprop_ref.oracle import cases, check, check_results, symptoms
from locoprop_ref.oracle.arithmetic import agrees
from locoprop_ref.oracle.diagnose import _contradicted, _Search
from locoprop_ref.oracle.finding import Finding
from locoprop_ref.oracle.flags import ARITHMETIC, BY_FLAG
from locoprop_ref.oracle.outcome import Result
from locoprop_ref.oracle.own import own_target
from locoprop_ref.oracle.vectors import encode

OWN = own_target()
CLOSED = cases("closed_form")
BIASED = [case for case in CLOSED if "b" in case.expected and "LocalMean" in case.flags]


def changed(change, base=OWN):
    """A target whose values are changed."""
    return lambda topic, conventions, inputs: change(base(topic, conventions, inputs))


def averaged(case_list):
    return imitator([BY_FLAG["LocalMean"]], case_list)


def first_line(report):
    return report.text().split("Diagnosis\n  ")[1].split("\n")[0]


# malformed results ----------------------------------------------------------------------------------


def test_a_missing_output_is_said_first_and_never_upgraded():
    """The averaged gradient without `b` was acceptable: what was not returned was not looked at."""
    report = check(changed(lambda v: {"W": v["W"]}, averaged(BIASED)), BIASED)
    assert not report.ok
    assert {r.status for r in report.results} == {"fail"}
    assert first_line(report).startswith(f"{len(BIASED)} of {len(BIASED)} failing cases lack b (")


def test_a_few_missing_outputs_are_said_before_what_most_cases_have():
    lacking = BIASED[0].inputs["W"].tobytes()

    def target(topic, conventions, inputs):
        values = averaged(BIASED)(topic, conventions, inputs)
        return {"W": values["W"]} if inputs["W"].tobytes() == lacking else values

    report = check(target, BIASED)
    assert first_line(report).startswith(f"1 of {len(BIASED)} failing cases lack b (closed_form/")
    assert report.findings[1].flags == ("LocalMean",)
    assert not report.ok


@pytest.mark.parametrize("base", [OWN, averaged(BIASED)], ids=["right", "averaged"])
def test_an_output_that_is_not_asked_for_is_wrong(base):
    report = check(changed(lambda v: v | {"db": v["b"]}, base), BIASED)
    assert not report.ok
    assert "return db, for which they are not asked" in first_line(report)
    assert "db: not asked for (expected W, b)" in report.text()


def test_an_output_that_is_none_is_no_output():
    check(changed(lambda v: v | {"extra": None}), BIASED).assert_ok()


def test_a_transposed_output_is_said_first_and_never_upgraded():
    oblong = [case for case in BIASED if len(set(case.expected["W"].shape)) == 2]
    report = check(changed(lambda v: v | {"W": v["W"].T}, averaged(oblong)), oblong)
    assert not report.ok
    assert {r.status for r in report.results} == {"fail"}
    assert "its transpose" in report.text()
    assert "transposed" in first_line(report)


def test_what_is_not_asked_for_in_a_results_file_is_wrong():
    case = CLOSED[0]
    values = {name: encode(value) for name, value in case.expected.items()}
    document = {"schema": 1, "vectors": 2, "implementation": "x", "dtype": "float64"}
    results = {case.id: values | {"db": [1, "or else"]}}
    report = check_results(document | {"results": results}, [case], diagnose=False)
    assert "db: not asked for (expected W, b)" in report.text()


# acceptable is a choice -----------------------------------------------------------------------------


def test_a_variant_that_is_not_made_everywhere_is_a_bug():
    """A port that averages in some problems alone has not chosen the average."""
    some = {case.inputs["W"].tobytes() for case in BIASED[:2]}

    def target(topic, conventions, inputs):
        right = inputs["W"].tobytes() not in some
        return (OWN if right else averaged(BIASED))(topic, conventions, inputs)

    report = check(target, BIASED)
    assert not report.ok
    assert "not made everywhere, which is a bug" in first_line(report)


def test_a_variant_that_a_bug_looks_like_is_not_acceptable():
    """W - eta/2 of one problem is both: the diagnosis must not choose the pleasant one."""
    finding = Finding(("LocalMean",), ("closed_form/primal",), 1, (("ProximalTermDoubled",),))
    assert not finding.acceptable
    assert "or a bug that looks the same" in finding.text
    assert Finding(("LocalMean",), ("closed_form/primal",), 1).acceptable


# the first line -------------------------------------------------------------------------------------


def test_unexplained_cases_count_in_the_order_of_the_findings():
    flipped = imitator([BY_FLAG["TargetSignFlipped"]], CLOSED)
    few = {case.inputs["W"].tobytes() for case in CLOSED[:4]}

    def target(topic, conventions, inputs):
        if inputs["W"].tobytes() in few:
            return flipped(topic, conventions, inputs)
        return {name: value + 0.125 for name, value in OWN(topic, conventions, inputs).items()}

    report = check(target, CLOSED)
    assert f"{len(CLOSED) - 4} of {len(CLOSED)} failing cases match no known deviation" in first_line(report)
    assert report.findings[1].flags == ("TargetSignFlipped",)
    assert "10 other failing cases should match it, and do not" in report.findings[1].text


def test_cases_that_have_a_further_mistake_are_not_held_against_a_name():
    flags = [BY_FLAG["TargetSignFlipped"], BY_FLAG["LocalMean"]]
    flipped, both = imitator(flags[:1], CLOSED), imitator(flags, CLOSED)
    few = {case.inputs["W"].tobytes() for case in CLOSED[:3]}

    def target(topic, conventions, inputs):
        return (both if inputs["W"].tobytes() in few else flipped)(topic, conventions, inputs)

    report = check(target, CLOSED)
    assert report.findings[0].flags == ("TargetSignFlipped",)
    assert set(report.findings[1].flags) == {"TargetSignFlipped", "LocalMean"}
    assert report.findings[0].unmatched == 0 and "should match it" not in report.findings[0].text


def test_a_name_for_few_of_the_cases_that_it_would_change_is_none():
    flipped = imitator([BY_FLAG["TargetSignFlipped"]], CLOSED)
    one = CLOSED[0].inputs["W"].tobytes()

    def target(topic, conventions, inputs):
        if inputs["W"].tobytes() == one:
            return flipped(topic, conventions, inputs)
        return {name: value + 0.125 for name, value in OWN(topic, conventions, inputs).items()}

    assert [finding.flags for finding in check(target, CLOSED).findings] == [()]


# right answers, nearly ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_answer_that_is_two_tolerances_off_gets_no_false_name(dtype):
    chosen = [c for c in cases() if c.topic in ("network", "first_step", "target", "local_steps", "exact")]
    by_inputs = {str((case.topic, case.conventions, case.cast_inputs(dtype))): case for case in chosen}

    def target(topic, conventions, inputs):
        case = by_inputs[str((topic, conventions, inputs))]
        off = 2 * case.tolerance[dtype]
        return {name: e + off * (1 + np.abs(e)) for name, e in case.expected.items()}

    report = check(target, chosen, dtype=dtype)
    assert [finding.flags for finding in report.findings] == [()]
    assert "small error of no known cause" in first_line(report)


@pytest.mark.parametrize("slow", [{1}, {2}], ids=["the first case", "a later case"])
def test_the_first_import_or_compilation_is_not_counted(slow):
    """A call that takes longer than the limit is repeated, and the second one counts."""
    calls = []

    def target(topic, conventions, inputs):
        calls.append(topic)
        if len(calls) in slow:
            time.sleep(0.4)
        return OWN(topic, conventions, inputs)

    check(target, CLOSED[:3], time_limit=0.3, warm_up=5.0).assert_ok()
    assert len(calls) == 4
    calls.clear()
    assert not check(target, CLOSED[:3], time_limit=0.3, warm_up=0.0).ok


def test_a_case_that_always_takes_too_long_is_found_even_if_it_is_the_first():
    def target(topic, conventions, inputs):
        time.sleep(0.15)
        return OWN(topic, conventions, inputs)

    report = check(target, CLOSED[:2], time_limit=0.05, warm_up=5.0)
    assert [r.status for r in report.results] == ["not run", "not run"]
    assert report.results[0].message == "did not return within 0.05 s"


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves by a second whenever the diagnosis looks at it."""
    seconds = iter(range(1_000_000))
    clock = SimpleNamespace(monotonic=lambda: float(next(seconds)))
    monkeypatch.setattr(sys.modules["locoprop_ref.oracle.diagnose"], "time", clock)


def test_a_short_time_leaves_cases_that_are_said_to_be_not_searched(ticking):
    """Every topic has its turn; what is found until then is not said of the other cases."""
    chosen = [*CLOSED, *cases("target"), *cases("local_steps")]
    flipped = imitator([BY_FLAG["TargetSignFlipped"]], chosen)
    right = check(flipped, chosen, search_limit=1e6)
    assert [f.flags for f in right.findings] == [("TargetSignFlipped",)]
    report = check(flipped, chosen, search_limit=200.0)
    named, late = sorted(report.findings, key=lambda finding: not finding.flags)
    assert named.flags == ("TargetSignFlipped",)
    assert {id_.partition("/")[0] for id_ in named.ids} == {"closed_form", "target", "local_steps"}
    assert named.unmatched == 0
    assert "were not searched, because the time for the diagnosis was over" in late.text
    assert len(named.ids) + len(late.ids) == len(right.findings[0].ids)


def test_a_variant_that_there_was_no_time_to_compare_is_not_acceptable():
    """What passes in float32 must be computed, what passes in float64 is known from the flags of a case."""
    over = _Search([], BIASED, "float32", end=-1.0)
    assert _contradicted(over, ("LocalMean",)) == ((), len(BIASED))
    ids = tuple(case.id for case in BIASED)
    assert _contradicted(replace(over, dtype="float64"), ("LocalMean",)) == (ids, 0)
    assert _contradicted(replace(over, end=1e9), ("LocalMean",)) == (ids, 0)
    finding = Finding(("LocalMean",), ids[:1], 1, unchecked=1)
    assert not finding.acceptable
    assert "which there was no time to see" in finding.text
    # what is a bug in any case needs no further time
    assert Finding(("TargetSignFlipped",), ids[:1], 1, unchecked=1).kind == "bug"


def test_a_common_factor_is_no_arithmetic_of_few_bits():
    """Within the bound of numbers of sixteen bits: roundings go up and down, a factor does not."""
    case = CLOSED[0]
    values = np.arange(17, 32, 2) / 8  # five bits, and ten after a change of 1/32
    up, both = np.full(8, 1.0), np.array([1.0, -1.0] * 4)
    for signs, wanted in ((both, True), (up, False), (-up, False)):
        got = {"W": values * (1 + signs / 32)}
        assert agrees("Float16Arithmetic", case, got, {"W": values}, lambda cut: {}, "float64") is wanted


@pytest.mark.parametrize(("size", "wanted"), [(0.5e8, False), (2e8, True)])
def test_what_has_diverged_is_measured_by_what_was_expected(size, wanted):
    """Beyond 1e8 times one more than the largest expected number."""
    (case,) = (case for case in cases("transfer") if case.id == "transfer/relu-extreme")
    got = {name: size * (1 + np.max(value)) * np.ones_like(value) for name, value in case.expected.items()}
    assert symptoms._diverged(Result(case, "fail", got=got)) is wanted


def test_the_search_for_pairs_keeps_its_limit_and_diverged_cases_are_not_searched(ticking):
    chosen = cases("local_steps")
    # single flags take two looks at the clock for each case, and one for each flag
    singles = float(sum(len(case.flags) + len(ARITHMETIC) + 2 for case in chosen))
    wild = check(changed(lambda v: {k: u * 1e51 for k, u in v.items()}), chosen, search_limit=singles)
    assert "diverged" in first_line(wild)
    assert "below 2" in first_line(wild)
    odd = check(changed(lambda v: {k: u + 0.125 for k, u in v.items()}), chosen, search_limit=singles + 100)
    assert "the search for pairs ran out of time" in odd.text()
