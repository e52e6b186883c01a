r"""A solver with memory: running sufficient statistics of the squared local problem, as AM-mem has them.

All that the squared local loss needs to know of its batches are two sums,

    A ← ρA + X̃ᵀX̃,        C ← ρC + X̃ᵀY*,

for inputs X̃ and targets Y* of the pre-activation, the present batch included. The weights solve AW̃ = C,
exactly or by sweeps of coordinate descent over the rows of W̃ (Mairal, Bach, Ponce, Sapiro 2009),

    w_i ← w_i + (C_i − A_i W̃)/A_ii,  i = 1..d̃:        one sweep is W̃ + (D + L)⁻¹(C − AW̃),

with D + L the lower triangle of A. The ridge 1/η of the proximal term may stand in two places:

    inside     I/η is added to A and W̃₀/η to C, once, with the first batch; without decay (ρ = 1) recursive
               least squares, and with gradient targets FOOF; with decay it fades, and A gets singular
    outside    W̃ + (A + I/η)⁻¹(C − AW̃), it never fades; but another method: with gradient targets FOOF plus
               momentum, Δ_t = (A_t + I/η)⁻¹(−γX̃ᵀg + (ρ/η)Δ_{t−1})

The first batch is in both the closed form of the problem. A regularizer with memory, `RunningMetric`, keeps A
alone, so that no old target pulls at the weights: there the ridge stands outside and the step is FOOF's.

Source: Choromanska, Cowen, Kumaravel, Luss, Rigotti, Rish, and others, "Beyond Backprop: Online Alternating
Minimization with Auxiliary Variables", ICML 2019, whose AM-mem sweeps.
"""

from dataclasses import dataclass
from math import inf
from typing import Any, Literal, get_args

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, solve_positive_definite
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import State
from locoprop_ref.regularizers import Proximal
from locoprop_ref.solvers import Info

Ridge = Literal["auto", "inside", "outside"]
RIDGES: tuple[str, ...] = get_args(Ridge)


@dataclass(frozen=True)
class Memory:
    r"""The squared local problem of all batches so far, with a decay.

    Args:
        decay: ρ, 0 ≤ ρ ≤ 1, the share of the sums that a batch keeps; default 0.9.
        num_sweeps: sweeps of coordinate descent for each batch, or None (default) for the exact solution.
        ridge: where 1/η of the proximal term stands: "inside" the memory, "outside", or "auto" (default):
            inside without decay (ρ = 1), else outside.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> import numpy as np
    >>> from locoprop_ref.transfers import transfer
    >>> problem = LocalProblem(np.ones((3, 1)), np.ones((3, 1)), transfer("identity"), np.zeros((1, 1)), 1.0)
    >>> W, state, _ = Memory()(problem, Memory().init(problem.W0), 1.0)  # 3/(3 + 1)
    >>> W
    array([[0.75]])
    """

    decay: float = 0.9
    num_sweeps: int | None = None
    ridge: Ridge = "auto"

    def __post_init__(self) -> None:
        checks.keep(self, checks.not_negative, "decay")
        if self.decay > 1:
            raise ValueError(f"decay must be at least 0 and at most 1, got {self.decay}")
        if self.num_sweeps is not None:
            checks.keep(self, checks.integer, "num_sweeps")
        checks.one_of("ridge", self.ridge, RIDGES)

    def init(self, W0: Any) -> State:
        """Return how many batches were seen, and A = 0, (d̃, d̃), and C = 0, (d̃, d_out)."""
        checks.array("W0", W0, ndim=2)
        d, xp = W0.shape[0], array_namespace(W0)
        gram = xp.zeros((d, d), dtype=W0.dtype, device=device(W0))
        return {"count": 0, "gram": gram, "moment": xp.zeros_like(W0)}

    def __call__(self, problem: LocalProblem, state: State, rate: float) -> tuple[Any, State, Info]:
        """Return (W̃, state, {}): the batch is remembered, then the change is solved for and multiplied by r.

        With the reduction "mean" every batch counts as one example, its sums divided by B.

        Raises:
            ValueError: the local transfer is not the identity, or η = inf where the solution is exact.
            TypeError: another regularizer than the proximal term.
        """
        checks.instance("problem", problem, LocalProblem, "a LocalProblem")
        if problem.transfer.name != "identity":
            raise ValueError(f"transfer must be 'identity' for a memory, got {problem.transfer.name!r}")
        proximal: Proximal = checks.instance(
            "regularizer", problem.regularization, Proximal, "the proximal term for a memory"
        )
        if proximal.weight_step == inf and self.num_sweeps is None:
            raise ValueError("weight_step must be finite for an exact memory, got inf")
        rate, ridge, W0 = checks.not_negative("rate", rate), 1 / proximal.weight_step, problem.W0
        x, xp = problem.x, array_namespace(W0)
        ridge_matrix = ridge * xp.eye(W0.shape[0], dtype=W0.dtype, device=device(W0))
        inside = self.ridge == "inside" or (self.ridge == "auto" and self.decay == 1)
        gram = self.decay * state["gram"] + problem.scale * (x.T @ x)
        moment = self.decay * state["moment"] + problem.scale * (x.T @ problem.y_target)
        if inside and state["count"] == 0:
            gram, moment = gram + ridge_matrix, moment + ridge * W0
        system = xp.asarray(gram, copy=True) if inside else gram + ridge_matrix  # which may be overwritten
        change = self._solve(system, moment - gram @ W0, xp)
        W = W0 + change if rate == 1 else W0 + rate * change
        return W, {"count": state["count"] + 1, "gram": gram, "moment": moment}, {}

    def _solve(self, system: Any, right: Any, xp: Any) -> Any:
        """Return the solution of system·Δ = right, or what the sweeps reach from Δ = 0."""
        if self.num_sweeps is None:
            return solve_positive_definite(system, right, xp=xp)
        lower = xp.tril(system)
        # an input that was never on has a row of zeros, and keeps its weights
        idle = xp.astype(xp.linalg.diagonal(system) == 0, system.dtype)
        lower = lower + xp.eye(system.shape[0], dtype=system.dtype, device=device(system)) * idle
        change = xp.linalg.solve(lower, right)
        for _ in range(self.num_sweeps - 1):
            change = change + xp.linalg.solve(lower, right - system @ change)
        return change
