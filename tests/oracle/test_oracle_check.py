"""The checker: whatever a target does, the report says so and is whole."""

import json
import threading
from xml.etree import ElementTree

import numpy as np
import pytest

from locoprop_ref.oracle import cases, check
from locoprop_ref.oracle.own import own_target

CASES = cases("closed_form")
OWN = own_target()


def expected_of(case):
    return {name: value.copy() for name, value in case.expected.items()}


def target_with(change, cases=CASES):
    """A target that looks the right answer up, and changes it for the first case."""
    by_inputs = {str(case.cast_inputs("float64")): case for case in cases}

    def target(topic, conventions, inputs):
        case = by_inputs[str(inputs)]
        return change(expected_of(case)) if case is cases[0] else expected_of(case)

    return target


def first(change):
    report = check(target_with(change), CASES, diagnose=False)
    assert [r.status for r in report.results[1:]] == ["pass"] * (len(CASES) - 1)
    return report.results[0]


def test_the_right_answer_passes():
    report = check(target_with(lambda values: values), CASES)
    report.assert_ok()
    assert [r.status for r in report.results] == ["pass"] * len(CASES)


def test_any_array_library_will_do():
    torch = pytest.importorskip("torch")
    change = lambda values: {k: torch.tensor(v, requires_grad=True) for k, v in values.items()}  # noqa: E731
    assert first(change).status == "pass"


def test_lists_will_do():
    assert first(lambda values: {k: v.tolist() for k, v in values.items()}).status == "pass"


@pytest.mark.parametrize("factor, status", [(0.9, "pass"), (1.1, "fail")])
def test_the_tolerance_is_where_it_is_said_to_be(factor, status):
    case = CASES[0]
    off = factor * case.tolerance["float64"] * (1 + np.abs(case.expected["W"]))
    assert first(lambda values: values | {"W": values["W"] + off}).status == status


def test_the_worst_element_is_named():
    def change(values):
        values["W"][1, 0] += 0.25
        values["W"][0, 0] += 0.125
        return values

    result = first(change)
    want = CASES[0].expected["W"][1, 0]
    assert result.status == "fail"
    assert (
        f"W: 2 wrong of 6, worst [1, 0]: expected {float(want)!r}, got {float(want + 0.25)!r}, off by 0.25"
        in result.words
    )


@pytest.mark.parametrize("change, status, words", [
    (lambda v: {"W": v["W"]}, "fail", "b: missing (got W)"),
    (lambda v: v | {"W": v["W"][:, :2]}, "fail", "W: wrong shape (2, 2), expected (2, 3)"),
    (lambda v: v | {"W": np.full((2, 3), np.nan)}, "fail", "W: 6 NaN of 6, worst [0, 0]"),
    (lambda v: v | {"W": np.full((2, 3), np.inf)}, "fail", "got inf"),
    (lambda v: None, "error", "the result must be a dict of W, b, got NoneType None"),
    (lambda v: [1, 2], "error", "the result must be a dict of W, b, got list"),
    (lambda v: v | {"W": "zero"}, "error", "W must be an array of real numbers"),
    (lambda v: v | {"W": [[1, 2], [3]]}, "error", "W must be an array of numbers"),
    (lambda v: v | {"W": v["W"] * 1j}, "error", "complex128"),
    (lambda v: v | {"W": object()}, "error", "W must be an array of"),
    (lambda v: 1 / 0, "error", "raised ZeroDivisionError: division by zero"),
    (lambda v: (_ for _ in ()).throw(SystemExit(3)), "error", "raised SystemExit: 3"),
    (lambda v: NotImplemented, "not covered", ""),
    (lambda v: (_ for _ in ()).throw(NotImplementedError()), "not covered", ""),
])  # fmt: skip
def test_what_is_wrong_is_said(change, status, words):
    result = first(change)
    assert result.status == status
    assert words in result.words


def test_a_target_that_never_returns_costs_its_topic_only():
    check(OWN, cases("exact") + CASES).assert_ok()  # everything imported before the clock runs
    release = threading.Event()

    def target(topic, conventions, inputs):
        if topic == "exact":
            release.wait()
        return OWN(topic, conventions, inputs)

    report = check(target, cases("exact") + CASES, time_limit=1.5, warm_up=0.0)
    release.set()
    assert [r.status for r in report.results] == ["not run"] * len(cases("exact")) + ["pass"] * len(CASES)
    assert report.results[0].words == "did not return within 1.5 s"
    assert "because exact/identity did not return in time" in report.results[1].words
    assert not report.ok


def test_a_target_may_change_its_inputs():
    def target(topic, conventions, inputs):
        values = OWN(topic, conventions, inputs)
        for value in (*inputs.values(), *conventions):
            if isinstance(value, np.ndarray):
                value[...] = 0
        conventions.clear()
        return values

    for _ in range(2):
        check(target, CASES).assert_ok()


def test_a_required_topic_that_is_not_covered_fails():
    report = check(lambda *a: NotImplemented, CASES)
    assert report.ok
    report = check(lambda *a: NotImplemented, CASES, require=["closed_form"])
    assert not report.ok
    assert report.problems == ["topic closed_form is required, and 14 of its 14 cases are not covered"]
    check(OWN, CASES, require=["closed_form"]).assert_ok()


def test_bad_arguments():
    with pytest.raises(TypeError, match=r"target must be callable, got str"):
        check("module:callable")
    with pytest.raises(ValueError, match=r"dtype must be one of float64, float32, got 'float16'"):
        check(OWN, dtype="float16")
    with pytest.raises(ValueError, match=r"require must be one of .* \(did you mean 'closed_form'\?\)"):
        check(OWN, CASES, require=["closedform"])
    with pytest.raises(ValueError, match=r"topic must be one of .* \(did you mean 'training'\?\)"):
        cases("trainings")


def test_assert_ok_shows_the_report():
    with pytest.raises(AssertionError, match=r"closed_form/primal: b: missing"):
        check(target_with(lambda v: {"W": v["W"]}), CASES).assert_ok()


def test_a_lower_dtype_is_mentioned():
    result = first(lambda values: {k: v.astype(np.float32) for k, v in values.items()})
    assert "W, b returned in float32" in result.words


def test_junit_and_json_hold_every_case():
    def target(topic, conventions, inputs):
        raise RuntimeError("control \x00 and \ud800 surrogate")

    report = check(target, CASES)
    suite = ElementTree.fromstring(report.junit())  # noqa: S314 - our own
    assert suite.get("errors") == str(len(CASES))
    assert [element.get("name") for element in suite.iter("testcase")] == [case.id for case in CASES]
    report = check(OWN, CASES)
    document = json.loads(report.json())
    assert [row["status"] for row in document["cases"]] == ["pass"] * len(CASES)
    assert document["ok"] is True


def test_verbose_lists_what_passes():
    report = check(OWN, CASES)
    assert "closed_form/primal: W (6), b (3); worst error" not in report.text()
    assert "closed_form/primal: W (6), b (3); worst error" in report.text(verbose=True)


@pytest.mark.filterwarnings("ignore:tqdm.disabling monitor support")  # which cannot start its own either
def test_without_a_thread_to_be_had_it_is_one_sentence(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(
        OSError, match=r"^every case needs a thread of its own, and none can be started: can't"
    ):
        check(OWN, CASES)
