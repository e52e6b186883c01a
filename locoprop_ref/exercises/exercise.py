"""What an exercise is, and how an answer is marked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.oracle.check import check as compare
from locoprop_ref.oracle.outcome import ACCEPTABLE, BAD, ERROR, NOT_COVERED, NOT_RUN, PASS
from locoprop_ref.oracle.report import Report
from locoprop_ref.oracle.vectors import Case, cases

Answer = Callable[..., Any]


@dataclass(frozen=True)
class Mark:
    """The mark of an answer.

    Args:
        exercise: the name of the exercise.
        passed: whether nothing is wrong.
        sentences: what the student is told.
    """

    exercise: str
    passed: bool
    sentences: tuple[str, ...]

    def __post_init__(self) -> None:
        checks.boolean("passed", self.passed)

    @property
    def text(self) -> str:
        """The name of the exercise, and what the student is told, as text."""
        return f"{self.exercise}: " + "\n".join(self.sentences)


@dataclass(frozen=True)
class Exercise:
    """One exercise: a function to write, and the oracle's cases that mark it.

    Args:
        name: its name, that of its text in `exercises/`.
        title: what is to be written, in a few words.
        minutes: what it is meant to take.
        signature: the function, as the student writes it.
        topic: the oracle's topic.
        concerns: tells which cases of the topic it is marked by.
        ask: calls an answer with the inputs of a case, and names its results as the oracle does.
        hints: (imitation, sentence) for mistakes that the oracle has no flag for: a function that makes the
            mistake, and what the student is told.
    """

    name: str
    title: str
    minutes: int
    signature: str
    topic: str
    concerns: Callable[[Case], bool]
    ask: Callable[[Answer, dict[str, Any]], dict[str, Any]]
    hints: tuple[tuple[Answer, str], ...] = ()

    def cases(self) -> list[Case]:
        """Return the oracle's cases that mark it."""
        return [case for case in cases(self.topic) if self.concerns(case)]

    def report(self, answer: Answer, *, diagnose: bool = True) -> Report:
        """Return the oracle's report on an answer.

        Args:
            answer: the function to be marked.
            diagnose: whether to look for the cause of a difference (default True).
        """
        checks.boolean("diagnose", diagnose)

        def target(topic: str, conventions: dict[str, str], inputs: dict[str, Any]) -> dict[str, Any]:
            result = self.ask(answer, inputs)
            if any(value is None for value in result.values()):
                raise TypeError("the function returned None: does it end with `return`?")
            return result

        # a variant that another library may choose is not what the exercise asks for
        return compare(target, self.cases(), implementation=self.name, diagnose=diagnose, strict=True)


def mark(exercise: Exercise, answer: Answer) -> Mark:
    """Mark an answer.

    Args:
        exercise: one of `EXERCISES`.
        answer: the student's function.

    Raises:
        TypeError: the answer is no function.
    """
    if not callable(answer):
        raise TypeError(f"answer must be a function, {exercise.signature}, got {type(answer).__name__}")
    report = exercise.report(answer)
    if all(result.status == PASS for result in report.results):
        return Mark(exercise.name, True, (f"right, in all {len(report.results)} cases.",))
    return Mark(exercise.name, False, _sentences(exercise, answer, report))


def _sentences(exercise: Exercise, answer: Answer, report: Report) -> tuple[str, ...]:
    """Return what the student is told: an error, the oracle's diagnosis, or a hint, and the worst case."""
    if any(result.status == NOT_COVERED for result in report.results):
        return ("the function is not written yet.",)
    broken = [result for result in report.results if result.status in (ERROR, NOT_RUN)]
    wrong = [result for result in report.results if result.status in (*BAD, ACCEPTABLE)]
    count = f"{len(wrong)} of {len(report.results)} cases are wrong."
    if broken:
        return count, f"In the case {broken[0].case.id} your function {broken[0].words}."
    named = [finding.text for finding in report.findings if finding.flags]
    if not named:
        named = [sentence for imitation, sentence in exercise.hints if _same(exercise, answer, imitation)]
    return count, *(named or [f"The case {wrong[0].case.id}: {wrong[0].words}."])


def _same(exercise: Exercise, answer: Answer, imitation: Answer) -> bool:
    """Whether an answer gives what a known mistake gives, in every case."""
    for case in exercise.cases():
        one, other = (exercise.ask(function, case.cast_inputs("float64")) for function in (answer, imitation))
        for name in other:
            got, wanted = np.asarray(one[name], dtype=float), np.asarray(other[name], dtype=float)
            if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=1e-9, atol=1e-12):
                return False
    return True
