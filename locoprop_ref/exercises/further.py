"""What the oracle's cases do not show: how an answer reaches its numbers, and numbers that they leave out.

Each check calls an answer with inputs of its own. It returns a sentence for the student, "" if all is well.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Check = Callable[[Callable[..., Any]], str]

# (â, a, D) of ReLU, one for each pair of signs, and both orders where both are positive
RELU = ((3.0, 1.0, 2.0), (1.0, 3.0, 2.0), (-1.0, 2.0, 4.0), (2.0, -1.0, 2.0), (-3.0, -1.0, 0.0))


def elements_of_relu(answer: Callable[..., Any]) -> str:
    """Return the first element of ReLU's matching loss that is wrong, in words, or "".

    Args:
        answer: D(â, a), element by element.

    >>> elements_of_relu(lambda a_hat, a: np.zeros_like(a_hat))
    'For â = 3 and a = 1 the loss is 2; your function returns 0.'
    """
    a_hat, a, wanted = (np.array(numbers) for numbers in zip(*RELU, strict=True))
    got = np.asarray(answer(a_hat, a))
    for at, target, right, value in zip(a_hat, a, wanted, got, strict=True):
        if not abs(value - right) <= 1e-12:  # sums of a few numbers below 10
            return (
                f"For â = {at:g} and a = {target:g} the loss is {right:g}; your function returns {value:g}."
            )
    return ""


def solves_a_system(batch: int, inputs: int, wanted: int, words: str) -> Check:
    """Return a check of the size of the systems that an answer has `np.linalg.solve` solve.

    Args:
        batch: B ≥ 1.
        inputs: d ≥ 1, the inputs of the layer, without the bias.
        wanted: how many rows the system must have.
        words: which size that is.

    >>> normal = solves_a_system(5, 2, 3, "of the size of the inputs")
    >>> normal(lambda x, *rest: np.linalg.solve(x.T @ x, x.T))
    'With 5 examples and 2 inputs (and the bias) your function solves a system of 2 × 2; ...'
    """

    def check(answer: Callable[..., Any]) -> str:
        sizes, arrays = _watched(batch, inputs)
        answer(*arrays, 2.0, 0.5)
        if not sizes:
            return (
                "The numbers come from no system that was solved: call `np.linalg.solve` with a matrix made "
                "from x, and take no inverse."
            )
        for rows in sizes:
            if rows != wanted:
                return (
                    f"With {batch} examples and {inputs} inputs (and the bias) your function solves a system "
                    f"of {rows} × {rows}; it must be {wanted} × {wanted}, {words}."
                )
        return ""

    return check


def _watched(batch: int, inputs: int) -> tuple[list[int], tuple[np.ndarray, ...]]:
    """Return a list, and x, W, b and g that append to it the size of every system solved with them."""
    sizes: list[int] = []

    class Watched(np.ndarray):
        """An array that sees which functions of NumPy are called with it, or with what is made from it."""

        def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
            if func is np.linalg.solve:
                sizes.append(int(np.shape(args[0] if args else kwargs["a"])[-1]))
            return super().__array_function__(func, types, args, kwargs)

    rng = np.random.default_rng(0)
    shapes = ((batch, inputs), (inputs, 2), (2,), (batch, 2))
    return sizes, tuple(rng.normal(size=shape).view(Watched) for shape in shapes)


def arguments_stay(answer: Callable[..., Any]) -> str:
    """Return which arguments an answer changes, in words, or "".

    Args:
        answer: takes x, W, b and g, then γ, s and K.

    >>> arguments_stay(lambda x, W, *rest: np.add(W, 1, out=W))
    'Your function changes its argument W. Make new arrays, ...'
    """
    rng = np.random.default_rng(0)
    given = {
        name: rng.normal(size=shape) for name, shape in dict(x=(3, 2), W=(2, 2), b=(2,), g=(3, 2)).items()
    }
    before = {name: array.copy() for name, array in given.items()}
    answer(*given.values(), 1.0, 0.1, 3)
    changed = [name for name in given if not np.array_equal(given[name], before[name])]
    if not changed:
        return ""
    which = ("argument " if len(changed) == 1 else "arguments ") + " and ".join(changed)
    return (
        f"Your function changes its {which}. Make new arrays, as W = W - step does; W -= step writes into "
        "the array of the caller."
    )
