r"""Majorised Newton: K steps on a local problem that share one matrix inverse.

    W̃ ← W̃ − (cX̃ᵀX̃ + P)⁻¹ ∇(W̃),        K times, from W̃₀

The Hessian of a unit's local problem is cX̃ᵀdiag(f′)X̃ + P, with P of the regularizer. Where f′ ≤ 1, as for
the transfer functions here (unless they have a larger slope of their own), cX̃ᵀX̃ + P bounds it from above: the
quadratic function with that matrix touches the objective at W̃ and lies above it everywhere. Its minimum is
the step, which therefore never raises the objective. (For softmax the Hessian couples the units; its matrix
diag(y) − yyᵀ is at most I as well.) One matrix serves all units and all K steps, where Newton's method has
one for every unit and step. At W̃₀ the gradient is that of S, so that K = 1 is the closed form of LocoProp-S;
more steps go on towards the solution of LocoProp-M.
"""

from dataclasses import dataclass
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, solve_positive_definite
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import State
from locoprop_ref.transfers import DISCONTINUOUS, Transfer

Info = dict[str, Any]


@dataclass(frozen=True)
class Majorised:
    r"""K majorised Newton steps, for any local loss whose transfer function has a bounded slope.

    Args:
        num_local_steps: K ≥ 1, default 2: one step more than the closed form of S.
        slope_bound: what f′ is at most, default 1. A larger one makes shorter steps: the data term of the
            matrix is multiplied by it. Of a transfer function of your own nothing is checked.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> import numpy as np
    >>> from locoprop_ref.transfers import transfer
    >>> problem = LocalProblem(np.eye(2), np.ones((2, 1)), transfer("identity"), np.zeros((2, 1)), 1.0)
    >>> Majorised(1)(problem, {}, 1.0)[0]  # the closed form: halfway to the target
    array([[0.5],
           [0.5]])
    """

    num_local_steps: int = 2
    slope_bound: float = 1.0

    def __post_init__(self) -> None:
        checks.keep(self, checks.integer, "num_local_steps")
        checks.keep(self, checks.positive, "slope_bound")

    def init(self, W0: Any) -> State:
        """Return the empty state."""
        return {}

    def __call__(self, problem: LocalProblem, state: State, rate: float) -> tuple[Any, State, Info]:
        """Return (W̃, {}, {}) for the regularizer scaled by the rate; rate 0 moves nothing.

        The objective never rises where the regularizer is quadratic, as all of the package are.

        Raises:
            ValueError: sign (which has no slope), a bound below the transfer function's largest slope, or
                η = inf, for which the matrix may be singular.
            numpy.linalg.LinAlgError: the matrix is not positive definite after rounding.
        """
        checks.instance("problem", problem, LocalProblem, "a LocalProblem")
        self._check_slope(problem.transfer)
        rate = checks.not_negative("rate", rate)
        if isinstance(problem.metric, int | float) and problem.metric == 0:
            raise ValueError("weight_step must be finite for majorised steps, got inf")
        if rate == 0:
            return problem.W0, state, {}
        problem = problem.scaled(rate)
        W, inverse = problem.W0, self._inverse(problem)
        for _ in range(self.num_local_steps):
            W = W - inverse @ problem.unchecked_gradient(W)
        return W, state, {}

    def _check_slope(self, f: Transfer) -> None:
        if f.name in DISCONTINUOUS:
            raise ValueError(f"transfer must be continuous for majorised steps, got {f.name!r}")
        if (steepest := largest_slope(f)) > self.slope_bound:
            raise ValueError(
                f"slope_bound must be at least {steepest:g}, the largest slope of {f.name}, "
                f"got {self.slope_bound:g}"
            )

    def _inverse(self, problem: LocalProblem) -> Any:
        """Return (bcX̃ᵀX̃ + P)⁻¹, b being the bound of the slope."""
        x, P, xp = problem.x, problem.metric, array_namespace(problem.W0)
        one = xp.eye(x.shape[1], dtype=x.dtype, device=device(x))
        matrix = (self.slope_bound * problem.scale) * (x.T @ x)
        matrix = matrix + (P * one if isinstance(P, int | float) else P)
        return solve_positive_definite(matrix, one, xp=xp)


def largest_slope(f: Transfer) -> float:
    """Return what the slope of a transfer function of the package is at most: 1, or a larger one of its own.

    >>> from locoprop_ref.transfers import transfer
    >>> largest_slope(transfer("tanh")), largest_slope(transfer("leaky_relu", slope=3.0))
    (1.0, 3.0)
    """
    own = [float(value) for value in f.parameters.values() if isinstance(value, int | float)]
    return max([1.0, *own])
