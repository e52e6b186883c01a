"""The figures and sentences of a report, all from cases and results made up here: no mpmath, no search."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from locoprop_ref.oracle.check import judge
from locoprop_ref.oracle.compare import Comparison
from locoprop_ref.oracle.finding import Finding
from locoprop_ref.oracle.outcome import Result
from locoprop_ref.oracle.report import Report
from locoprop_ref.oracle.vectors import Case


def case(expected, name="made-up", topic="exact", scale=1.0):
    """A case whose tolerance is 2⁻⁴ in float64 and 2⁻² in float32, so that bounds are exact in binary."""
    tolerance, reason = {"float64": 2.0**-4, "float32": 2.0**-2}, "made up"
    arrays = {key: np.array(value, dtype=float) for key, value in expected.items()}
    return Case(f"{topic}/{name}", topic, "", (), {}, {}, arrays, tolerance, reason, (), scale)


def compared(expected, got, dtype="float64", **settings):
    result = judge(case({"W": expected}, **settings), {"W": np.array(got)}, dtype)
    return result.status, result.comparisons[0]


# the figures --------------------------------------------------------------------------------------


def test_units_in_the_last_place_are_those_of_the_largest_expected_number():
    """4 has the last place 2⁻⁵⁰; the error of 3 of them is at the small number."""
    status, found = compared([4.0, 1.0, -2.0], [4.0, 1.0 + 3 * 2.0**-50, -2.0])
    assert (status, found.ulp, found.elements) == ("pass", 3.0, 3)
    assert found.relative == 3 * 2.0**-50
    assert found.error == 3 * 2.0**-51  # of 1 + abs(1)


def test_in_float32_the_last_place_is_coarser():
    status, found = compared([4.0, -1.0], np.array([4.0, -1.0 - 5 * 2.0**-21], np.float32), "float32")
    assert (status, found.ulp) == ("pass", 5.0)  # the last place of 4 is 2⁻²¹ there
    assert found.relative == 5 * 2.0**-21


def test_expected_numbers_are_rounded_to_the_dtype_of_the_check():
    assert compared([0.1], np.array([0.1], np.float32), "float32")[1].error == 0
    assert 0 < compared([0.1], np.array([0.1], np.float32), "float64")[1].error < 1e-8


def test_the_relative_figure_leaves_out_an_expected_zero():
    _, found = compared([0.0, 8.0, -2.0], [0.5, 8.0, -2.25])
    assert (found.relative, found.error) == (0.125, 0.5)  # 0.25 of abs(−2); 0.5 of 1 + 0


def test_without_a_finite_number_there_are_no_figures():
    status, found = compared([math.inf, -math.inf], [math.inf, -math.inf])
    assert (status, found.error, found.ulp, found.relative) == ("pass", 0, 0, 0)
    status, found = compared([], [])
    assert (status, found.elements, found.error) == ("pass", 0, 0)


@pytest.mark.parametrize(("got", "wrong"), [(math.inf, 0), (-math.inf, 1), (1e300, 1), (math.nan, 1)])
def test_an_infinite_expected_number_must_be_met(got, wrong):
    status, found = compared([1.0, math.inf], [1.0, got])
    assert status == ("fail" if wrong else "pass")
    assert found.error == (math.inf if wrong else 0)
    assert (found.ulp, found.relative) == (0, 0)  # of the finite one


def test_nan_in_some_entries_is_said_before_larger_errors():
    """A comparison with NaN is false: nothing may pass for that reason."""
    status, found = compared([[1.0, 2.0], [3.0, 0.0]], [[1.0, math.nan], [99.0, 0.0]])
    assert (status, found.error) == ("fail", math.inf)
    assert found.problem == "1 NaN of 4, worst [0, 1]: expected 2.0, got nan (tolerance 0.2)"
    assert found.ulp == 96 / 2.0**-51  # of the entries that are finite
    assert found.relative == 32
    _, found = compared([1.0, 2.0], [math.inf, math.nan])
    assert found.problem.startswith("1 NaN of 2, worst [1]: expected 2.0, got nan")


@pytest.mark.parametrize(("scale", "bound"), [(1.0, 0.1875), (2.0**-3, 0.1328125)])
def test_the_bound_counts_itself_in(scale, bound):
    """τ·(scale + abs(expected)) = 2⁻⁴·(1 + 2) is allowed, and nothing more is."""
    assert compared([2.0], [2.0 + bound], scale=scale)[0] == "pass"
    status, found = compared([2.0], [2.0 + bound + 2.0**-50], scale=scale)
    assert status == "fail"
    assert f"off by {bound:.2g} (tolerance {bound:.1g})" in found.problem


def test_one_number_has_no_place():
    _, found = compared(1.0, 3.0)
    assert (
        found.problem == "1 wrong of 1, got a wrong number: expected 1.0, got 3.0, off by 2 (tolerance 0.1)"
    )


def test_a_transposed_array_is_told_from_another_wrong_shape():
    _, found = compared([[1.0, 2.0]], [[1.0], [2.0]])
    assert (found.structure, found.problem) == (
        "transposed",
        "wrong shape (2, 1), expected (1, 2), its transpose",
    )
    _, found = compared([[1.0, 2.0]], [1.0, 2.0])
    assert (found.structure, found.problem) == ("wrong shape", "wrong shape (2,), expected (1, 2)")
    assert math.isnan(found.error) and math.isnan(found.ulp) and math.isnan(found.relative)


# the sentences ------------------------------------------------------------------------------------

MEAN = "the local gradient is averaged over the batch"
FLIPPED = "the target moves along g in place of against it"
SENTENCES = {
    "variant": (
        Finding(("LocalMean",), ("a/1", "a/2"), 3),
        f"2 of 3 failing cases match when {MEAN} (flag LocalMean; acceptable: variant)",
    ),
    "pair": (
        Finding(("LocalMean", "TargetSignFlipped"), ("a/1",), 1),
        f"1 of 1 failing cases match when {MEAN}, and when {FLIPPED} (flag LocalMean with TargetSignFlipped; "
        "bug)",
    ),
    "not everywhere": (
        Finding(("LocalMean",), ("a/1",), 2, contradicted=("b/1", "b/2", "b/3"), unmatched=1),
        f"1 of 2 failing cases match when {MEAN} (flag LocalMean; a variant, but not made everywhere, which "
        "is a bug); 3 passing cases would fail under it, so it is not made everywhere; 1 other failing cases "
        "should match it, and do not",
    ),
    "or a bug": (
        Finding(("LocalMean",), ("a/1",), 1, others=(("TargetSignFlipped",), ("LocalSum", "BiasLeftOut"))),
        f"1 of 1 failing cases match when {MEAN} (flag LocalMean; a variant, or a bug that looks the same); "
        "TargetSignFlipped, or LocalSum with BiasLeftOut would explain them too",
    ),
    "nothing": (
        Finding((), tuple(f"a/{k}" for k in range(5)), 6),
        "5 of 6 failing cases match no known deviation, alone or in pairs (a/0, a/1, a/2, a/3, ...)",
    ),
    "no time": (
        Finding((), ("a/1",), 1, complete=False),
        "1 of 1 failing cases match no known deviation, alone or in pairs (a/1); the search for pairs ran "
        "out of time",
    ),
    "words": (Finding((), ("a/1",), 1, words="lack b"), "1 of 1 failing cases lack b (a/1)"),
}  # fmt: skip


@pytest.mark.parametrize(("finding", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_the_sentence_of_a_finding(finding, sentence):
    assert finding.text == sentence
    assert finding.acceptable == ("acceptable" in sentence)


def test_a_malformed_variant_is_not_acceptable():
    assert not replace(SENTENCES["variant"][0], malformed=True).acceptable
    two = Finding(("LocalMean", "LocalRateConstant"), ("a/1",), 1)
    assert two.acceptable and two.names == "LocalMean with LocalRateConstant"
    assert [line[:15] for line in two.advice] == ["    LocalMean: ", "    LocalRateCo"]


def results():
    """One of every status, in two topics."""
    one = {"W": [1.0, 2.0]}
    a, b, c, d, e, f = (case(one, name) for name in "abcdef")
    return (
        judge(a, {"W": np.array([1.0, 2.0])}, "float64"),
        judge(b, {"W": np.array([1.0, 9.0])}, "float64"),
        Result(c, "error", message="raised ValueError: no"),
        Result(d, "not covered"),
        Result(e, "not run", message="did not return within 1 s"),
        judge(replace(f, topic="target", id="target/f"), {"W": np.array([1.0 + 2.0**-9, 2.0])}, "float64"),
        judge(replace(f, topic="target", id="target/g"), {"W": np.array([0.5, 2.0])}, "float64"),
    )


WRONG_W = "W: 1 wrong of 2, worst [1]: expected 2.0, got 9.0, off by 7 (tolerance 0.2)"
FLIP = "W: 1 wrong of 2, worst [0]: expected 1.0, got 0.5, off by 0.5 (tolerance 0.1)"


def report(**changed):
    found = Report("mine", "float64", results(), (), ("unknown id 'x' in the results",), (1.25, 0.0))
    named = ("target/g", "exact/a", "exact/c")  # of which one fails: a right answer, or none, is no variant
    return replace(found.with_findings([Finding(("LocalMean",), named, 5)], 2.5), **changed)


def test_the_whole_text():
    assert (
        report().text()
        == f"""mine, float64: 2 pass, 1 acceptable, 1 fail, 1 error, 1 not covered, 1 not run
  unknown id 'x' in the results

Diagnosis
  3 of 5 failing cases match when {MEAN} (flag LocalMean; acceptable: variant)
    LocalMean: Local steps are B times smaller than the authors'; local_lr or weight_step must make up.

Topics
  target         1 pass, 1 acceptable; worst error 9.8e-04
  exact          1 pass, 1 fail, 1 error, 1 not covered, 1 not run; worst error 0.0e+00

Cases
  fail        exact/b: {WRONG_W}
  error       exact/c: raised ValueError: no
  not run     exact/e: did not return within 1 s
  acceptable  target/g: variant LocalMean; {FLIP}

FAILED in 1.2 s, diagnosis 2.5 s"""
    )


def test_the_text_of_what_is_right():
    right = [one for one in results() if one.status in ("pass", "not covered")]
    found = report(results=right, findings=(), problems=(), seconds=(0.25, 0.0))
    assert found.ok
    assert found.text().endswith("\n\npassed in 0.2 s") and "Cases" not in found.text()
    assert found.text(verbose=True).partition("Cases\n")[2].splitlines()[:3] == [
        "  pass        exact/a: W (2); worst error 0.0e+00, tolerance 6e-02",
        "  not covered exact/d: returned NotImplemented",
        "  pass        target/f: W (2); worst error 9.8e-04, tolerance 6e-02",
    ]


@pytest.mark.parametrize("status", ["pass", "acceptable", "fail", "error", "not covered", "not run"])
def test_what_counts_as_wrong(status):
    one = [Result(case({"W": [1.0]}), status)]
    wrong = status in ("fail", "error", "not run")
    assert Report("mine", "float64", one).ok is not wrong
    assert Report("mine", "float64", one, strict=True).ok is not (wrong or status == "acceptable")
    assert not Report("mine", "float64", one, problems=["what"]).ok


def test_every_status_in_junit():
    suite = ElementTree.fromstring(report().junit())  # noqa: S314 - our own
    counts = {"tests": "8", "errors": "2", "failures": "2", "skipped": "1"}
    assert {name: suite.get(name) for name in counts} == counts
    assert suite.get("name") == "locoprop-ref oracle: mine"
    rows = [
        (
            one.get("classname"),
            one.get("name"),
            [(part.tag, part.get("message") or part.text) for part in one],
        )
        for one in suite.iter("testcase")
    ]
    assert rows == [
        ("oracle", "input", [("failure", "unknown id 'x' in the results")]),
        ("exact", "exact/a", []),
        ("exact", "exact/b", [("failure", WRONG_W)]),
        ("exact", "exact/c", [("error", "raised ValueError: no")]),
        ("exact", "exact/d", [("skipped", "not covered")]),
        ("exact", "exact/e", [("error", "did not return within 1 s")]),
        ("target", "target/f", []),
        ("target", "target/g", [("system-out", f"variant LocalMean; {FLIP}")]),
    ]
    assert [one.text[:30] for one in suite.findall("system-out")] == ["3 of 5 failing cases match whe"]


def test_every_figure_in_json():
    document = json.loads(report().json())
    assert list(document) == [
        "schema", "implementation", "dtype", "ok", "problems", "findings", "cases",
    ]  # fmt: skip
    assert (document["schema"], document["implementation"], document["ok"]) == (1, "mine", False)
    assert [finding["flags"] for finding in document["findings"]] == [["LocalMean"]]
    assert [finding["ids"] for finding in document["findings"]] == [["target/g", "exact/a", "exact/c"]]
    rows = {row["id"]: row for row in document["cases"]}
    assert rows["exact/b"]["status"] == "fail" and rows["exact/c"]["message"] == "raised ValueError: no"
    (found,) = rows["exact/b"]["compared"]
    assert {key: found[key] for key in ("name", "elements", "error", "ulp", "relative")} == {
        "name": "W", "elements": 2, "error": 7 / 3, "ulp": 7 / 2.0**-51, "relative": 3.5,
    }  # fmt: skip
    lacking = Result(case({"W": [1.0]}), "fail", [Comparison("W", "missing", 0, *3 * [math.nan], "missing")])
    (found,) = json.loads(report(results=[lacking]).json())["cases"][0]["compared"]
    assert (found["error"], found["ulp"], found["relative"]) == ("nan", "nan", "nan")  # JSON has no NaN
