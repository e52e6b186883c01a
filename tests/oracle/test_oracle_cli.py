"""The commands `oracle check`, `report` and `generate`."""

import json

import pytest

from locoprop_ref.cli.main import main
from locoprop_ref.oracle import cases, generate
from locoprop_ref.oracle.vectors import encode

# optax's rmsprop is not among the package's optimizers
NOT_COVERED = [case for case in cases() if case.conventions.get("dialect") == "optax"]
TARGET = """
from locoprop_ref.oracle.own import own_target
own = own_target()
def right(topic, conventions, inputs):
    return own(topic, conventions, inputs)
def wrong(topic, conventions, inputs):
    return {k: v + 1 for k, v in own(topic, conventions, inputs).items()}
number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A folder with a module of targets, as the working directory."""
    (tmp_path / "some_targets.py").write_text(TARGET, encoding="utf-8")
    (tmp_path / "broken_target.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return main(["oracle", *arguments])


def test_check_a_target(module, capsys):
    assert run("check", "--target", "some_targets:right", "--topic", "closed_form", "--verbose") == 0
    printed = capsys.readouterr().out
    assert "14 pass" in printed
    assert "pass        closed_form/primal: W (6), b (3); worst error" in printed
    assert run("check", "--target", "some_targets:wrong", "--topic", "closed_form", "--no-diagnosis") == 1
    assert "closed_form/primal: W: 6 wrong of 6" in capsys.readouterr().out


def test_check_writes_junit_and_json(module, capsys):
    options = ["--topic", "exact", "--json", "report.json", "--junit", "deep/report.xml"]
    assert run("check", "--target", "some_targets:right", *options) == 0
    assert json.loads((module / "report.json").read_text(encoding="utf-8"))["ok"] is True
    assert 'failures="0"' in (module / "deep" / "report.xml").read_text(encoding="utf-8")


def test_check_a_results_file(module, capsys):
    results = {c.id: {k: encode(v) for k, v in c.expected.items()} for c in cases("inverse")}
    document = {
        "schema": 1,
        "vectors": 2,
        "implementation": "looked up",
        "dtype": "float64",
        "results": results,
    }
    (module / "results.json").write_text(json.dumps(document), encoding="utf-8")
    assert run("check", "--results", "results.json", "--require", "inverse") == 0
    assert run("check", "--results", "results.json", "--require", "exact") == 1
    assert "topic exact is required" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, sentence", [
    (["--target", "some_targets"], "target must be module:callable"),
    (["--target", "no_such_module:f"], "target 'no_such_module' cannot be imported: ModuleNotFoundError"),
    (["--target", "broken_target:f"], "target 'broken_target' cannot be imported: ZeroDivisionError"),
    (["--target", "some_targets:absent"], "must name a callable"),
    (["--target", "some_targets:number"], "must name a callable"),
    (["--results", "absent.json"], "absent.json cannot be read: No such file"),
    (["--target", "some_targets:right", "--json", "some_targets.py/x.json"], "some_targets.py"),
])  # fmt: skip
def test_bad_input_is_one_line_and_status_2(module, capsys, arguments, sentence):
    assert run("check", *arguments, "--topic", "inverse") == 2
    error = capsys.readouterr().err
    assert error.startswith("locoprop-ref oracle: ")
    assert error.count("\n") == 1
    assert sentence in error


@pytest.mark.parametrize("arguments", [
    ["check"], ["check", "--target", "a:b", "--results", "c"],
    ["check", "--target", "a:b", "--topic", "magic"],
    ["check", "--target", "a:b", "--dtype", "int8"], ["report", "--dtype", "int8"], ["frobnicate"],
])  # fmt: skip
def test_bad_usage_is_one_line_and_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_report(tmp_path, capsys):
    assert run("report", "--out", str(tmp_path / "certificate.txt")) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "certificate.txt").read_text(encoding="utf-8") == printed
    covered = len(cases()) - len(NOT_COVERED)
    assert f"{covered} of {covered} cases pass" in printed
    assert run("report", "--backend", "abacus") == 2


def test_generate(tmp_path, capsys, monkeypatch):
    few = [recipe for recipe in generate.all_recipes() if recipe.topic == "inverse"]
    monkeypatch.setattr(generate, "TOPICS", {"inverse": generate.TOPICS["inverse"]})
    monkeypatch.setattr(generate, "all_recipes", lambda: few)
    assert run("generate", "--out", str(tmp_path)) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'inverse.json'}\n"
    document = (tmp_path / "inverse.json").read_text(encoding="utf-8")
    (tmp_path / "inverse.json").write_text(document.replace("0.5", "0.25"), encoding="utf-8")
    assert run("generate", "--out", str(tmp_path)) == 2
    assert "would change under version 2 of the vectors" in capsys.readouterr().err


def test_help(capsys):
    assert run() == 0
    assert "generate" in capsys.readouterr().out
