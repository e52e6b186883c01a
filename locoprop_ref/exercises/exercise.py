"""What an exercise is, and how an answer is marked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.exercises.further import Check
from locoprop_ref.oracle.check import check as compare
from locoprop_ref.oracle.outcome import ACCEPTABLE, BAD, ERROR, NOT_COVERED, NOT_RUN, PASS, Result
from locoprop_ref.oracle.report import Report
from locoprop_ref.oracle.vectors import Case, cases

Answer = Callable[..., Any]


class Refused(Exception):
    """An answer that has no numbers to compare; its text is the sentence that the student is told."""


@dataclass(frozen=True)
class Mark:
    """The mark of an answer.

    Args:
        exercise: the name of the exercise.
        passed: whether nothing is wrong.
        sentences: what the student is told, the most important first.
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
        further: what the oracle's cases do not show, see `further`; None (default) for nothing.
        compared: a sentence about what the oracle compares, where that is not what the function returns.
    """

    name: str
    title: str
    minutes: int
    signature: str
    topic: str
    concerns: Callable[[Case], bool]
    ask: Callable[[Answer, dict[str, Any]], dict[str, Any]]
    hints: tuple[tuple[Answer, str], ...] = ()
    further: Check | None = None
    compared: str = ""

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
            return self.ask(_returning(answer), inputs)

        # a variant that another library may choose is not what the exercise asks for
        return compare(target, self.cases(), implementation=self.name, diagnose=diagnose, strict=True)

    def beyond(self, answer: Answer) -> str:
        """Return what is wrong with an answer besides the oracle's cases, in a sentence, or "".

        Args:
            answer: a function that has been through the oracle's cases without an error.
        """
        if self.further is None:
            return ""
        try:
            return self.further(answer)
        except Exception as error:  # of the student's function
            return f"For other inputs than the oracle's your function raised {type(error).__name__}: {error}"


def _returning(answer: Answer) -> Answer:
    """Return an answer that is refused with a sentence of its own where it returns nothing."""

    def asked(*arguments: Any) -> Any:
        result = answer(*arguments)
        parts = result if isinstance(result, tuple | list) else [result]
        if any(part is None for part in parts):
            raise Refused("your function returned None: does it end with `return`?")
        return result

    return asked


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
    if any(result.status != PASS for result in report.results):
        return Mark(exercise.name, False, _sentences(exercise, answer, report))
    beyond, count = exercise.beyond(answer), len(report.results)
    if beyond:
        return Mark(
            exercise.name, False, ("The oracle finds nothing wrong, but the answer is not right yet.", beyond)
        )
    return Mark(exercise.name, True, (f"right, in all {count} cases." if count > 1 else "right.",))


def _sentences(exercise: Exercise, answer: Answer, report: Report) -> tuple[str, ...]:
    """Return what the student is told: an error, or how many cases are wrong, and why."""
    if any(result.status == NOT_COVERED for result in report.results):
        return ("the function is not written yet.",)
    wrong = [result for result in report.results if result.status in (*BAD, ACCEPTABLE)]
    count = f"{len(wrong)} of {len(report.results)} cases are wrong."
    if len(report.results) == 1:
        count = "The answer is wrong."
    for result in wrong:
        if result.status in (ERROR, NOT_RUN):
            return _broken(result, count)
    named = [
        line for finding in report.findings if finding.flags for line in (finding.unjudged, *finding.advice)
    ]
    if not named:
        named = [sentence for imitation, sentence in exercise.hints if _same(exercise, answer, imitation)]
    if not named:
        case = f"The case {wrong[0].case.id}: {wrong[0].words}. {exercise.compared}".rstrip()
        named = [sentence for sentence in (exercise.beyond(answer), case) if sentence]
    # such as a library that the diagnosis needs
    return count, *named, *(f"{problem[0].upper()}{problem[1:]}." for problem in report.problems)


def _broken(result: Result, count: str) -> tuple[str, ...]:
    """Return what the student is told of a case that gave no numbers."""
    said = result.message.removeprefix(f"raised {Refused.__name__}: ")
    if said != result.message:
        return (said,)
    return count, f"In the case {result.case.id} your function {result.words}."


def _same(exercise: Exercise, answer: Answer, imitation: Answer) -> bool:
    """Whether an answer gives what a known mistake gives, in every case."""
    for case in exercise.cases():
        one, other = (exercise.ask(function, case.cast_inputs("float64")) for function in (answer, imitation))
        for name in other:
            got, wanted = np.asarray(one[name], dtype=float), np.asarray(other[name], dtype=float)
            if got.shape != wanted.shape or not np.allclose(got, wanted, rtol=1e-9, atol=1e-12):
                return False
    return True
