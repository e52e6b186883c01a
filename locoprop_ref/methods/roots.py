r"""The inverse p-th root of a symmetric positive semidefinite matrix."""

from math import nan
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace


def inverse_root(matrix: Any, root: int, *, ridge: float) -> Any:
    r"""Return (A + εI)^{−1/p} = Q (Λ + εI)^{−1/p} Qᵀ, where A = QΛQᵀ, (d, d).

    Rounding leaves three marks, and each is taken out:

    - A product such as ∇∇ᵀ need not come out symmetric to the last bit: A is taken as (A + Aᵀ)/2.
    - Squares of small gradients come near the smallest float32 number: A is scaled to a largest entry of 1
      before it is decomposed. ε joins the eigenvalues afterwards, so that it is not rounded into A.
    - Eigenvalues are known up to about u·λ_max only (u: the spacing of floats at 1). Where the true one is 0
      the computed one may be negative, which has no root, or any number of that size, which an inverse root
      would magnify into a direction that the data do not have. They are clipped from below at u·(λ_max + ε):
      the error as it is, not the d·u·λ_max of the worst case, which in float32 reaches far into the
      eigenvalues that count. In float64 ε is usually the larger, and the clip does nothing.

    Args:
        matrix: A, (d, d), symmetric up to rounding, positive semidefinite up to rounding.
        root: p ≥ 1.
        ridge: ε > 0, added to every eigenvalue.

    Returns:
        (d, d), symmetric up to rounding; nan throughout where A holds nan or infinity (some libraries would
        raise, others would return something finite).

    Raises:
        ValueError, TypeError: A is no square matrix of floats, p is no integer of at least 1, ε ≤ 0.

    >>> import numpy as np
    >>> inverse_root(np.array([[15.0, 0.0], [0.0, 80.0]]), 4, ridge=1.0)
    array([[0.5       , 0.        ],
           [0.        , 0.33333333]])
    """
    checks.array("matrix", matrix, ndim=2)
    checks.array("matrix", matrix, shape=(matrix.shape[1], None))
    root, ridge = checks.integer("root", root), checks.positive("ridge", ridge)
    xp = array_namespace(matrix)
    A = 0.5 * matrix + 0.5 * matrix.T
    finite = xp.all(xp.isfinite(A))
    A = xp.where(finite, A, xp.zeros_like(A))
    largest = xp.max(xp.abs(A))
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))
    eigenvalues, Q = xp.linalg.eigh(A / scale)
    eigenvalues = scale * eigenvalues + ridge
    floor = float(xp.finfo(A.dtype).eps) * xp.max(eigenvalues)
    powers = xp.where(eigenvalues > floor, eigenvalues, floor) ** (-1 / root)
    powers = xp.where(finite, powers, xp.full_like(powers, nan))
    return (Q * powers) @ Q.T
