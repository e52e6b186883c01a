"""The exercises: the solution passes, the empty answer fails, typical mistakes are told apart in words."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from locoprop_ref.cli.main import main
from locoprop_ref.exercises import EXERCISES, check, mark

FOLDER = Path(__file__).resolve().parents[2] / "exercises"
sys.path.insert(0, str(FOLDER))
try:
    import make
finally:
    sys.path.remove(str(FOLDER))


def defined(source, exercise):
    """The function of an exercise from the source of a cell."""
    names = {"np": np}
    exec(source, names)  # noqa: S102
    return names[exercise.signature.partition("(")[0]]


def solution(exercise, *replacements):
    """The reference solution, with pieces of its source replaced."""
    source = make.notebook(exercise.name)["cells"][1]["source"]
    for old, new in replacements:
        assert old in source, old
        source = source.replace(old, new)
    return defined(source, exercise)


WHOLE = "F(a_hat) - F(a) - np.maximum(a, 0) * (a_hat - a)"
HESSIAN = "(x.T * (1 - y**2)) @ x"
# exercise: (what is replaced in the solution, and words that the student must be told), three times
MISTAKES = {
    "matching-loss": [
        ([(WHOLE, "F(a) - F(a_hat) - np.maximum(a_hat, 0) * (a - a_hat)")],
         "MatchingLossSwapped"),
        ([(WHOLE, "(np.maximum(a_hat, 0) - np.maximum(a, 0)) ** 2 / 2")],
         "squared loss after the ReLU"),
        ([(WHOLE, "F(a_hat) - np.maximum(a, 0) * a_hat")],
         "terms without â are missing"),
    ],
    "backward": [
        ([(" * (1 - np.tanh(a_hat) ** 2)", "")], "GradientAtPostActivation"),
        ([("np.tanh(a_hat)", "np.tanh(np.tanh(a_hat))")], "f′ is taken at ŷ"),
        ([(" ** 2", "")], "your square is missing"),
    ],
    "target": [
        ([(" - target_step", " + target_step")], "TargetSignFlipped"),
        ([("np.tanh(x @ W + b) - target_step * g", "np.tanh(x @ W + b - target_step * g)")],
         "TargetThroughTransfer"),
        ([("x @ W", "x @ W.T")], "your function raised ValueError"),
    ],
    "local-steps": [
        ([("x.T @ residual", "x.T @ residual / len(x)"), (".sum(", ".mean(")], "averaged over the batch"),
        ([("- y_target\n", "- y_target\n        residual = residual * (1 - np.tanh(x @ W + b) ** 2)\n")],
         "LocalDerivativeApplied"),
        ([(" * max(1 - k / num_local_steps, 0.25)", "")], "LocalRateConstant"),
    ],
    "closed-form": [
        ([("weight_step * X.T @ X", "weight_step * X.T @ X / len(X)"), ("X.T @ g", "X.T @ g / len(X)")],
         "averaged over the batch"),
        ([("-weight_step * target_step", "weight_step * target_step")], "TargetSignFlipped"),
        ([("b + change[-1]", "b")], "BiasNotApplied"),
    ],
    "closed-form-dual": [
        ([("-weight_step * target_step", "weight_step * target_step")], "TargetSignFlipped"),
        ([("b + change[-1]", "b")], "BiasNotApplied"),
        ([("np.eye(len(X)) + weight_step", "np.eye(len(X)) + weight_step / 2"),
          ("-weight_step * target", "-weight_step / 2 * target")], "ProximalTermDoubled"),
    ],
    "exact-unit": [
        ([("(y - y_target)", "(y - y_target) / len(x)"), (HESSIAN, HESSIAN + " / len(x)"),
          ("objective(w + t * direction) > objective(w) + 1e-12", "False")], "averaged over the batch"),
        ([("    w = w0\n", "    weight_step = weight_step / 2\n    w = w0\n")], "ProximalTermDoubled"),
        ([("    return w", "    pass")], "returned None"),
    ],
    "im2col": [
        ([("np.concatenate(rows)", "np.stack(rows, axis=1).reshape(B * len(rows), -1)")], "RowsByExample"),
        ([(".reshape(B, -1)", ".transpose(0, 1, 3, 2).reshape(B, -1)")], "KernelTransposed"),
        ([(".reshape(B, -1)", "[:, :, ::-1, ::-1].reshape(B, -1)")], "KernelFlipped"),
    ],
    "own-target": [
        ([("delta = B * g", "delta = g")], "KroneckerOfMeanLoss"),
        ([("delta.T @ delta / B", "delta.T @ delta")], "KroneckerSum"),
        ([("G + damping * np.eye(len(G))", "G")], "KroneckerDampingOtherSide"),
    ],
    "find-the-mistake": [
        ([("x.T @ residual", "x.T @ residual / len(x)"), (".sum(", ".mean(")], "averaged over the batch"),
        ([("y_target = x @ W + b", "y_target = np.tanh(x @ W + b)")], "TargetFromPostActivation"),
        ([("b - s * residual.sum(axis=0)", "b")], "BiasNotApplied"),
    ],
}  # fmt: skip


def test_there_is_a_text_and_a_list_of_mistakes_for_every_exercise():
    names = [exercise.name for exercise in EXERCISES]
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted(names) == sorted(MISTAKES)
    assert len(names) >= 8 and all(15 <= exercise.minutes <= 40 for exercise in EXERCISES)
    for exercise in EXERCISES:
        assert exercise.signature in make.notebook(exercise.name)["cells"][1]["source"]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_solution_passes_and_an_empty_answer_fails(exercise):
    marked = mark(exercise, solution(exercise))
    assert marked.passed, marked.text
    empty = defined(make.for_students(make.notebook(exercise.name)["cells"][1]["source"]), exercise)
    assert mark(exercise, empty).sentences == ("the function is not written yet.",)
    assert (
        "returned None" in mark(exercise, lambda *arguments: None).text
        or "raised" in mark(exercise, print).text
    )


@pytest.mark.full
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_typical_mistakes_are_named(exercise):
    assert len(MISTAKES[exercise.name]) == 3
    for replacements, words in MISTAKES[exercise.name]:
        marked = mark(exercise, solution(exercise, *replacements))
        assert not marked.passed
        assert words in marked.text, (replacements, marked.text)


def test_a_wrong_cell_fails_with_the_diagnosis():
    exercise = EXERCISES[2]
    with pytest.raises(AssertionError, match=r"target: .*\n.*TargetSignFlipped"):
        check("target", solution(exercise, (" - target_step", " + target_step")))
    with pytest.raises(ValueError, match=r"^exercise must be one of"):
        check("targets", print)
    with pytest.raises(TypeError, match=r"^answer must be a function, target\(x"):
        check("target", 3)


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_answers.py").write_text(
        "import numpy as np\ndef right(x, W, b, g, step):\n    return np.tanh(x @ W + b) - step * g\n"
        "def wrong(x, W, b, g, step):\n    return np.tanh(x @ W + b) + step * g\n"
    )
    assert main(["exercises", "list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(EXERCISES)
    assert main(["exercises", "check", "target", "own_answers:right"]) == 0
    assert capsys.readouterr().out == "target: right, in all 2 cases.\n"
    assert main(["exercises", "check", "target", "own_answers:wrong"]) == 1
    assert "TargetSignFlipped" in capsys.readouterr().out
    assert main(["exercises", "check", "no-such", "own_answers:wrong"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_students_see_no_solution(tmp_path):
    make.write(tmp_path)
    for exercise in EXERCISES:
        source = (tmp_path / "source" / make.ASSIGNMENT / f"{exercise.name}.ipynb").read_text("utf-8")
        student = (tmp_path / "student" / f"{exercise.name}.ipynb").read_text("utf-8")
        assert "BEGIN SOLUTION" in source and "BEGIN HIDDEN TESTS" in source
        assert "NotImplementedError" in student and not re.search("SOLUTION|HIDDEN", student)
        cells = json.loads(source)["cells"]
        assert [cell["metadata"].get("nbgrader", {}).get("points", 0) > 0 for cell in cells].count(True) == 1


@pytest.mark.full
def test_nbgrader_makes_the_student_version_and_marks(tmp_path):
    """One exercise solved, the others left empty: the first gets its points, the others none."""
    pytest.importorskip("nbgrader", reason="could not import 'nbgrader'")
    make.write(tmp_path)
    course = tmp_path / "course"
    shutil.copytree(tmp_path / "source", course / "source")
    for path in (course / "source" / make.ASSIGNMENT).glob("*.ipynb"):
        if path.stem not in ("target", "backward"):
            path.unlink()
    # nbgrader starts the program alembic, which is installed beside Python
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"HOME": str(tmp_path), "MPLBACKEND": "Agg", "PATH": path}

    def nbgrader(command, *arguments):
        line = [sys.executable, "-m", "nbgrader", command, make.ASSIGNMENT, *arguments]
        done = subprocess.run(line, cwd=course, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr[-2000:]

    nbgrader("generate_assignment", "--create")
    released = course / "release" / make.ASSIGNMENT
    assert (
        "SOLUTION" not in (released / "target.ipynb").read_text() + (released / "backward.ipynb").read_text()
    )
    submitted = course / "submitted" / "ada" / make.ASSIGNMENT
    shutil.copytree(released, submitted)
    notebook = json.loads((submitted / "target.ipynb").read_text("utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace(
            "raise NotImplementedError()", "return np.tanh(x @ W + b) + target_step * g"
        )
    (submitted / "target.ipynb").write_text(json.dumps(notebook), "utf-8")
    nbgrader("autograde")
    nbgrader("generate_feedback")
    feedback = course / "feedback" / "ada" / make.ASSIGNMENT
    assert "TargetSignFlipped" in (feedback / "target.html").read_text("utf-8")
    assert "not written yet" in (feedback / "backward.html").read_text("utf-8")
