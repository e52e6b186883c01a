"""Results files: the good one, and every kind of bad one."""

import json

import pytest

from locoprop_ref.oracle import BadResults, cases, check_results
from locoprop_ref.oracle.generate import validate
from locoprop_ref.oracle.vectors import encode

CASES = cases("closed_form") + cases("conjugate")


def document(**changes):
    results = {case.id: {name: encode(value) for name, value in case.expected.items()} for case in CASES}
    return {
        "schema": 1,
        "vectors": 2,
        "implementation": "looked up",
        "dtype": "float64",
        "results": results,
    } | changes


def statuses(report):
    return {r.case.id: r.status for r in report.results}


def write(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_right_results_pass(tmp_path):
    validate(document(), "results.schema.json")
    report = check_results(write(tmp_path, document()))
    report.assert_ok()
    assert {r.case.id for r in report.results if r.status == "pass"} == {case.id for case in CASES}
    assert statuses(report)["training/s-sgd"] == "not covered"


def test_float32_results_pass():
    results = {case.id: {k: encode(v.astype("float32")) for k, v in case.expected.items()} for case in CASES}
    check_results(document(dtype="float32", results=results)).assert_ok()
    assert not check_results(document(dtype="float64", results=results), diagnose=False).ok


@pytest.mark.parametrize("content, sentence", [
    ("", "is no JSON: Expecting value in line 1, column 1"),
    ("{", "is no JSON"),
    ("[1]", "must hold a JSON object, got list"),
    ("{}", "must have dtype, implementation, results, schema; dtype, implementation, results, schema "),
    (document(schema=2), "schema must be 1, got '2'"),
    (document(schema=True), "schema must be 1"),
    (document(schema="1"), "schema must be 1, got '1'"),
    ({k: v for k, v in document().items() if k != "vectors"},
     "was made for version 1 of the vectors, and these are version 2: compute the results again"),
    (document(vectors=1), "was made for version 1 of the vectors, and these are version 2"),
    (document(vectors=3), "was made for version 3 of the vectors, and these are version 2"),
    (document(vectors=True), "was made for version True of the vectors"),
    (document(implementation=3), "implementation must be text, got int"),
    (document(dtype="bfloat16"), "dtype must be one of float64, float32, got 'bfloat16'"),
    (document(results=[]), "results must be an object of ids, got list"),
    ("[" * 100_000, "nested too deeply"),
    ('{"schema": ' + "9" * 5000 + "}", "is no usable JSON"),
    ('{"schema": 1, "schema": 1}', "gives 'schema' twice"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path, content, sentence):
    with pytest.raises(BadResults, match=r"^[^\n]+$") as caught:
        check_results(write(tmp_path, content))
    assert sentence in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(BadResults, match=r"cannot be read: No such file"):
        check_results(tmp_path / "absent.json")
    binary = tmp_path / "results.json"
    binary.write_bytes(b"{\xff}")
    with pytest.raises(BadResults, match=r"must be UTF-8 text: byte 1 is not"):
        check_results(binary)
    monkeypatch.setattr("locoprop_ref.oracle.results.MAX_BYTES", 2**20)
    with pytest.raises(BadResults, match=r"must be at most 1 MiB, got 2 MiB"):
        check_results(write(tmp_path, '"' + "x" * 2**21 + '"'))


@pytest.mark.parametrize("value, words", [
    (None, ""),
    (3, "must be an object of W, b, got 3"),
    ({"W": "many"}, "W: 'many' is no number"),
    ({"W": [[None, 1]]}, "W: null (JavaScript's NaN) is no number"),
    ({"W": [[1, 2], [3]]}, "W: rows have different lengths"),
    ({"W": [[["deep"]]]}, "W: 'deep' is no number"),
    ({"W": json.loads("[" * 200 + "]" * 200)}, "W: lists are nested more than 8 deep"),
    ({"W": [[1e400] * 3] * 2, "b": [0, 0, 0]}, "W: 6 wrong of 6"),
    ({"W": [["nan"] * 3] * 2, "b": [0, 0, 0]}, "W: 6 NaN of 6"),
    ({"W": [[1, 2, 3]], "b": [0, 0, 0]}, "W: wrong shape (1, 3), expected (2, 3)"),
    ({"W": [[10**400] * 3] * 2, "b": [0, 0, 0]}, "got inf"),
])  # fmt: skip
def test_a_bad_result_costs_its_case_only(value, words):
    given = document()
    given["results"]["closed_form/primal"] = value
    report = check_results(given, diagnose=False)
    found = statuses(report)
    result = next(r for r in report.results if r.case.id == "closed_form/primal")
    assert words in result.words
    assert result.status == ("not covered" if value is None else "fail" if "'b'" in str(value) else "error")
    del found["closed_form/primal"]
    assert {
        status for id_, status in found.items() if id_.partition("/")[0] in ("closed_form", "conjugate")
    } == {"pass"}


def test_a_missing_result_is_named():
    given = document()
    del given["results"]["closed_form/dual"]
    report = check_results(given)
    assert not report.ok
    assert statuses(report)["closed_form/dual"] == "error"
    assert "missing from the results" in report.text()


def test_unknown_ids_are_named_with_the_nearest():
    given = document()
    given["results"] |= {"closed_form/primel": {}} | {f"made/up-{k}": {} for k in range(20)}
    report = check_results(given)
    assert (
        report.problems[0]
        == "unknown id 'closed_form/primel' in the results (did you mean 'closed_form/primal'?)"
    )
    assert report.problems[-1] == "16 more unknown ids in the results"
    assert not report.ok
    assert statuses(report)["closed_form/primal"] == "pass"
