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


def cell_with_solution(exercise):
    """The source of the cell of code that holds the reference solution."""
    cells = make.notebook(exercise.name)["cells"]
    (source,) = [
        cell["source"] for cell in cells if cell["cell_type"] == "code" and "BEGIN SOLUTION" in cell["source"]
    ]
    return source


def defined(source, exercise):
    """The function of an exercise from the source of a cell."""
    names = {"np": np}
    exec(source, names)  # noqa: S102
    return names[exercise.signature.partition("(")[0]]


def solution(exercise, *replacements):
    """The reference solution, with pieces of its source replaced."""
    source = cell_with_solution(exercise)
    for old, new in replacements:
        assert old in source, old
        source = source.replace(old, new)
    return defined(source, exercise)


WHOLE = "F(a_hat) - F(a) - np.maximum(a, 0) * (a_hat - a)"
HESSIAN = "(x.T * (1 - y**2)) @ x"
# exercise: (what is replaced in the solution, and words that the student must be told), at least three times
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
        ([("np.tanh(a_hat) ** 2", "a_hat ** 2")], "if â were the post-activation already"),
        ([("** 2)", "** 2) / len(g_above)")], "divide by B once more"),
    ],
    "target": [
        ([(" - target_step", " + target_step")], "TargetSignFlipped"),
        ([("np.tanh(x @ W + b) - target_step * g", "np.tanh(x @ W + b - target_step * g)")],
         "TargetThroughTransfer"),
        ([("target_step * g", "target_step * g * (1 - np.tanh(x @ W + b) ** 2)")],
         "multiply by it once more"),
        ([("target_step * g", "target_step * g / (1 - np.tanh(x @ W + b) ** 2)")],
         "nothing is divided by f′"),
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
        assert exercise.signature in cell_with_solution(exercise)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_solution_passes_and_an_empty_answer_fails(exercise):
    marked = mark(exercise, solution(exercise))
    assert marked.passed, marked.text
    empty = defined(make.for_students(cell_with_solution(exercise)), exercise)
    assert mark(exercise, empty).sentences == ("the function is not written yet.",)
    right, calls = solution(exercise), []

    def half_written(*inputs):
        calls.append(inputs)
        return (empty if len(calls) == 1 else right)(*inputs)

    assert mark(exercise, half_written).sentences == ("the function is not written yet.",)
    forgotten = mark(exercise, lambda *arguments: None)
    assert forgotten.sentences == ("your function returned None: does it end with `return`?",)


@pytest.mark.full
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_typical_mistakes_are_named(exercise):
    assert len(MISTAKES[exercise.name]) >= 3
    for replacements, words in MISTAKES[exercise.name]:
        marked = mark(exercise, solution(exercise, *replacements))
        assert not marked.passed
        assert words in marked.text, (replacements, marked.text)


BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
CHANNELS_LAST = (".reshape(B, -1)", ".transpose(0, 2, 3, 1).reshape(B, -1)")
INVERSE = [("np.linalg.solve(system, X.T @ g)", "np.linalg.inv(system) @ (X.T @ g)")]
IN_PLACE = [
    ("W, b = W - s * x.T @ residual, b - s * residual.sum(axis=0)",
     "W -= s * x.T @ residual\n        b -= s * residual.sum(axis=0)"),
]  # fmt: skip
# exercise, a wrong answer that is right in most numbers, and what the student is told
PLANTED = {
    "one product is missing where both are positive": (
        "matching-loss", lambda: lambda a_hat, a: np.where(
            a > 0, a**2 / 2 - a * a_hat, np.maximum(a_hat, 0) ** 2 / 2
        ), "For â = 3 and a = 1 the loss is 2; your function returns -2.5.",
    ),
    "sums in place of elements": (
        "matching-loss", lambda: lambda a_hat, a: solution(BY_NAME["matching-loss"])(a_hat, a).sum(axis=-1),
        "must return one number for every element: for arrays of the shape (3, 2) it returned one of the "
        "shape (3,)",
    ),
    "primal for dual": (
        "closed-form-dual", lambda: solution(BY_NAME["closed-form"]),
        "solves a system of 7 × 7; it must be 3 × 3, of the size of the batch",
    ),
    "dual for primal": (
        "closed-form", lambda: solution(BY_NAME["closed-form-dual"]),
        "solves a system of 5 × 5; it must be 3 × 3, of the size of the inputs",
    ),
    "an inverse": (
        "closed-form", lambda: solution(BY_NAME["closed-form"], *INVERSE), "call `np.linalg.solve`",
    ),
    "arguments changed": (
        "local-steps", lambda: solution(BY_NAME["local-steps"], *IN_PLACE), "changes its arguments W and b",
    ),
    "channels last": (
        "im2col", lambda: solution(BY_NAME["im2col"], CHANNELS_LAST),
        "PatchChannelsLast: The weights meet the wrong numbers.",
    ),
    "one array": (
        "closed-form", lambda: lambda x, W, *rest: W, "must return two arrays, as `return W, b` does",
    ),
    "a part of None": ("closed-form", lambda: lambda x, W, *rest: (W, None), "returned None"),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_an_answer_that_is_nearly_right_is_refused(planted):
    name, answer, words = PLANTED[planted]
    marked = mark(BY_NAME[name], answer())
    assert not marked.passed
    assert words in marked.text, marked.text


def test_a_variant_is_wrong_without_a_word_of_being_acceptable_and_with_where_to_look():
    """tanh's targets projected onto [-1, 1] are a variant to the oracle, and wrong in an exercise."""
    text = mark(BY_NAME["target"], lambda *given: np.clip(solution(BY_NAME["target"])(*given), -1, 1)).text
    assert "2 of 2 cases are wrong." in text and "(flag TargetsProjected)" in text
    assert "TargetsProjected: Differs only where a target is out of range." in text
    assert "variant" not in text and "acceptable" not in text


def test_without_the_library_of_the_diagnosis_the_student_is_told(monkeypatch):
    def absent(*arguments, **settings):
        raise ImportError

    monkeypatch.setattr(sys.modules["locoprop_ref.oracle.check"], "_diagnose", absent)
    sentences = mark(
        BY_NAME["target"], solution(BY_NAME["target"], (" - target_step", " + target_step"))
    ).sentences
    assert sentences[0] == "2 of 2 cases are wrong."
    assert sentences[-1] == "The diagnosis needs mpmath: install locoprop-ref[oracle]."


def test_a_single_case_is_not_counted():
    exercise = BY_NAME["own-target"]
    assert len(exercise.cases()) == 1
    assert mark(exercise, solution(exercise)).text == "own-target: right."
    assert (
        mark(exercise, solution(exercise, ("delta = B * g", "delta = g"))).sentences[0]
        == "The answer is wrong."
    )


def test_an_error_for_other_inputs_is_told():
    exercise = BY_NAME["closed-form"]

    def only_the_oracles(x, W, *rest):
        if x.shape == (5, 2) and W.shape == (2, 2):
            raise ValueError("such a W")
        return solution(exercise)(x, W, *rest)

    text = mark(exercise, only_the_oracles).text
    assert "For other inputs than the oracle's your function raised ValueError: such a W" in text


# hidden tests: exercise and what is replaced in the solution, where the marking alone would not say it
HIDDEN = {
    "matching-loss": [(WHOLE, "F(a_hat) - F(a)")],
    "backward": [(" * (1 - np.tanh(a_hat) ** 2)", "[:1]")],
    "target": [(" - target_step", " + target_step")],
    "local-steps": IN_PLACE,
    "closed-form": [("b + change[-1]", "(b + change[-1])[None, :]")],
    "closed-form-dual": [("b + change[-1]", "(b + change[-1])[None, :]")],
    "exact-unit": [("        w = w + t * direction", "        break")],
    "im2col": [CHANNELS_LAST],
    "own-target": [("delta = B * g", "delta = g")],
    "find-the-mistake": [("return W, b", "return W, b[None, :]")],
}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_hidden_tests_pass_the_solution_and_refuse_a_mistake_in_words(exercise):
    (source,) = [
        cell["source"] for cell in make.notebook(exercise.name)["cells"] if "HIDDEN" in cell["source"]
    ]
    hidden = source.partition("### BEGIN HIDDEN TESTS\n")[2]
    name = exercise.signature.partition("(")[0]
    exec(hidden, {"np": np, name: solution(exercise)})  # noqa: S102
    with pytest.raises(AssertionError, match=r"\w+ \w+"):
        exec(hidden, {"np": np, name: solution(exercise, *HIDDEN[exercise.name])})  # noqa: S102


def test_the_port_of_the_last_exercise_runs_and_the_oracle_names_both_mistakes(capsys):
    first, *_ = [cell for cell in make.notebook("find-the-mistake")["cells"] if cell["cell_type"] == "code"]
    exec(first["source"], {})  # noqa: S102
    said = capsys.readouterr().out
    assert "TargetFromPostActivation" in said and "LocalMean" in said


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


# exercises that ask for sentences, too, with a model answer for the teacher
QUESTIONS = ("matching-loss", "target", "closed-form-dual", "own-target", "find-the-mistake")


def graded(cell, automatically):
    """Whether a cell gives points: by its test, or by the teacher."""
    given = cell["metadata"].get("nbgrader", {})
    return given.get("points", 0) > 0 and given["solution"] != automatically


def test_students_see_no_solution(tmp_path):
    make.write(tmp_path)
    for exercise in EXERCISES:
        source = (tmp_path / "source" / make.ASSIGNMENT / f"{exercise.name}.ipynb").read_text("utf-8")
        student = (tmp_path / "student" / f"{exercise.name}.ipynb").read_text("utf-8")
        assert "BEGIN SOLUTION" in source and "BEGIN HIDDEN TESTS" in source
        assert "NotImplementedError" in student and not re.search("SOLUTION|HIDDEN", student)
        cells = json.loads(source)["cells"]
        assert [graded(cell, automatically=True) for cell in cells].count(True) == 1
        asked = [cell for cell in cells if graded(cell, automatically=False)]
        assert len(asked) == (exercise.name in QUESTIONS)
        assert student.count("*Write your answer here.*") == len(asked)


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
    assert "YOUR ANSWER HERE" in (released / "target.ipynb").read_text()
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
