"""Arithmetic of any precision on plain lists, which the second source uses in place of an array library.

A number is an mpmath number of the context `ctx`; a matrix is a list of rows. All loops are written out, so
that nothing depends on broadcasting, on the memory layout, or on a linear algebra library.
"""

from functools import cache
from typing import Any

from locoprop_ref.oracle.second_source.narrow import Narrow, NarrowProducts

Matrix = list[list[Any]]


class Inapplicable(Exception):
    """Raised for a choice that has no meaning for these inputs, such as a transposed W that is not square."""


@cache
def context(*, digits: int | None = None, bits: int | None = None) -> Any:
    """Return a separate mpmath context with this number of decimal digits or of bits.

    53 bits imitate float64, and 24 bits float32, without their limits on the exponent.

    >>> context(digits=60).mpf(2) ** 0.5 == context(bits=53).mpf(2) ** 0.5
    False
    """
    import mpmath

    ctx = mpmath.mp.clone()
    if digits is not None:
        ctx.dps = digits
    if bits is not None:
        ctx.prec = bits
    return ctx


def floats() -> Any:
    """Return the arithmetic of Python's floats as a context: 53 bits, fast, with limits on the exponent.

    >>> floats().mpf(2) ** 0.5 == context(bits=53).mpf(2) ** 0.5
    True
    """
    import mpmath

    return mpmath.fp


@cache
def narrow_products(*, bits: int, cut: bool) -> Any:
    """Return floats whose matrix products see inputs of this number of bits, rounded or `cut` off.

    >>> ctx = narrow_products(bits=11, cut=False)
    >>> float(dot([ctx.mpf(1 + 2**-12)], [ctx.mpf(1)]))
    1.0
    """
    return NarrowProducts(bits, cut)


def number(ctx: Any, value: Any) -> Any:
    """Return a float, an int, or one of the words "inf", "-inf" and "nan" as a number of the context."""
    return ctx.mpf(float(value))


def count(shape: tuple[int, ...]) -> int:
    """Return how many numbers an array of this shape has.

    >>> count((2, 3, 4))
    24
    """
    total = 1
    for n in shape:
        total *= n
    return total


def vector(ctx: Any, values: Any) -> list[Any]:
    """Return a sequence of floats as a list of numbers."""
    return [number(ctx, value) for value in values]


def matrix(ctx: Any, rows: Any) -> Matrix:
    """Return a sequence of rows as a matrix."""
    return [vector(ctx, row) for row in rows]


def transpose(A: Matrix) -> Matrix:
    """Return Aᵀ."""
    return [list(column) for column in zip(*A, strict=True)]


def product(A: Matrix, B: Matrix) -> Matrix:
    """Return the matrix product AB."""
    columns = transpose(B)
    return [[dot(row, column) for column in columns] for row in A]


def dot(u: list[Any], v: list[Any]) -> Any:
    """Return Σ uᵢvᵢ, added from the first term to the last."""
    if isinstance(u[0], Narrow) or isinstance(v[0], Narrow):
        kind = type(u[0]) if isinstance(u[0], Narrow) else type(v[0])
        # the input 1 of a bias is no factor: its row is added, or summed, without a product
        u, v = (
            [kind(n) if other == 1 else kind(kind(n).narrowed()) for n, other in zip(*pair, strict=True)]
            for pair in ((u, v), (v, u))
        )
    total = 0 * u[0]
    for a, b in zip(u, v, strict=True):
        total = total + a * b
    return total


def combine(A: Matrix, B: Matrix, scale: Any) -> Matrix:
    """Return A + scale·B."""
    return [
        [a + scale * b for a, b in zip(row_a, row_b, strict=True)] for row_a, row_b in zip(A, B, strict=True)
    ]


def scaled(A: Matrix, scale: Any) -> Matrix:
    """Return scale·A."""
    return [[scale * a for a in row] for row in A]


def solve(ctx: Any, A: Matrix, B: Matrix) -> Matrix:
    """Solve AZ = B by Gaussian elimination with row exchanges.

    Raises:
        Inapplicable: A is singular.
    """
    n, size = len(A), max(abs(a) for row in A for a in row)
    rows = [list(left) + list(right) for left, right in zip(A, B, strict=True)]
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        if abs(rows[pivot][k]) <= ctx.eps * size:
            raise Inapplicable("the system is singular")
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    for k in reversed(range(n)):
        rows[k] = [a / rows[k][k] for a in rows[k]]
        for i in range(k):
            factor = rows[i][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[n:] for row in rows]


def norm(ctx: Any, A: Matrix) -> Any:
    """Return the Frobenius norm."""
    return ctx.sqrt(sum((a * a for row in A for a in row), ctx.mpf(0)))
