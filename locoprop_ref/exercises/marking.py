"""Mark an answer to the exercise of a name."""

from locoprop_ref import checks
from locoprop_ref.exercises.catalogue import EXERCISES
from locoprop_ref.exercises.exercise import Answer, Exercise, mark


def exercise(name: str) -> Exercise:
    """Return the exercise of that name.

    Raises:
        ValueError: there is none (the nearest is suggested).

    >>> exercise("im2col").topic
    'rows'
    """
    known = {one.name: one for one in EXERCISES}
    return known[checks.one_of("exercise", name, tuple(known))]


def check(name: str, answer: Answer) -> None:
    """Mark an answer to the exercise of that name, for a cell of a notebook; print what is right.

    Args:
        name: the name of an exercise.
        answer: the student's function.

    Raises:
        ValueError: there is no exercise of that name (the nearest is suggested).
        TypeError: the answer is no function.
        AssertionError: the answer is wrong; the message says in what.
    """
    marked = mark(exercise(name), answer)
    if not marked.passed:
        raise AssertionError(marked.text)
    print(marked.text)
