"""A NumPy program of LocoProp's relatives against the vectors, right and with planted mistakes."""

import pytest
from relatives_mistakes import MISTAKES, UNNAMED, fresh_copy

from locoprop_ref.oracle import cases, check
from locoprop_ref.oracle.conventions import FAMILY
from locoprop_ref.oracle.flags import BY_FLAG

ALL = [case for topic in FAMILY for case in cases(topic)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_program_passes(dtype):
    report = check(fresh_copy().target, ALL, dtype=dtype, strict=True)
    report.assert_ok()
    assert {result.status for result in report.results} == {"pass"}


@pytest.mark.full
@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught_and_named(name):
    plant, flag = MISTAKES[name]
    module = fresh_copy()
    plant(module)
    report = check(module.target, ALL, strict=True)
    assert not report.ok
    best = report.findings[0]
    assert best.flags == (flag,)
    assert best.others == ()
    # nothing is left unexplained, and every case that can reveal the mistake is caught
    assert len(report.findings) == 1
    failing = {r.case.id for r in report.results if r.status in ("fail", "acceptable", "error")}
    assert failing == {case.id for case in ALL if flag in case.flags}
    assert BY_FLAG[flag].when in report.text().split("Diagnosis\n")[1].split("\n")[0]


@pytest.mark.full
@pytest.mark.parametrize("name", UNNAMED)
def test_a_mistake_without_a_name_gets_no_false_name(name):
    module = fresh_copy()
    UNNAMED[name](module)
    report = check(module.target, ALL, strict=True)
    assert not report.ok
    assert [finding.flags for finding in report.findings] == [()]


def test_every_flag_of_the_family_is_planted():
    planted = {flag for _, flag in MISTAKES.values()}
    assert {flag for case in ALL for flag in case.flags if flag in BY_FLAG} - planted == {"SquaredErrorWhole"}
