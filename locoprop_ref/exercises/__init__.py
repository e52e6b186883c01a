"""Exercises that mark themselves: the oracle compares, and says what is wrong.

The texts stand in the folder `exercises/` of the repository. An answer is a function; `check` raises an
AssertionError with the diagnosis if it is wrong, so that a cell of a notebook is a test.

>>> import numpy as np
>>> check("matching-loss", lambda a_hat, a: np.maximum(a, 0) ** 2 / 2)
Traceback (most recent call last):
    ...
AssertionError: matching-loss: ...
"""

from locoprop_ref.exercises.catalogue import EXERCISES
from locoprop_ref.exercises.exercise import Exercise, Mark, mark
from locoprop_ref.exercises.marking import check, exercise

__all__ = ["EXERCISES", "Exercise", "Mark", "check", "exercise", "mark"]
