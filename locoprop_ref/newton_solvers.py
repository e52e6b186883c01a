r"""Newton: the exact solution of a local problem whose transfer function is elementwise.

    w̃_j ← w̃_j − t (X̃ᵀdiag(f′)X̃ + I/η)⁻¹ ∇_j,  unit by unit, with a step length t of its own for each

This is the solver of LocoProp-M, exact, with the proximal term. Every other quadratic regularizer leads back
to that problem by another anchor and other coordinates. With its gradient S at W̃₀ and its metric P,

    P = pI          R = (p/2)‖W̃ − A‖² + a constant,  A = W̃₀ − S/p:  the proximal term of η = 1/p around A
    P a matrix      the same in the coordinates Ŵ = P^{1/2}W̃, with the inputs X̂ = X̃P^{−1/2} and η = 1

and X̂Ŵ = X̃W̃, so that the pre-activations, the local loss and the targets stay as they are. The two decays
are of the first kind, a metric with memory is of the second.
"""

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, identity_plus
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import State
from locoprop_ref.regularizers import Proximal
from locoprop_ref.transfers import DISCONTINUOUS

Info = dict[str, Any]


@dataclass(frozen=True)
class Newton:
    r"""The exact solution of a local problem with elementwise transfer, by damped Newton.

    The problem separates into one convex regression per output unit j, which has with the proximal term the
    gradient and the Hessian

        ∇_j = X̃ᵀ(f(â_j) − y*_j) + (w̃_j − w̃₀_j)/η,        H_j = X̃ᵀdiag(f′(â_j))X̃ + I/η.

    Undamped steps may cycle (seen for tanh and ReLU), so each unit has its own backtracking line search
    (Armijo); at kinks f′ is a generalized derivative and the method is semismooth Newton. For R < d̃ the
    step is computed in the span of the inputs: w̃ = w̃₀ + X̃ᵀc leaves an R×R system per unit,
    (I/η + diag(f′)X̃X̃ᵀ) Δc = −(f(â) − y* + c/η).

    Where I/η is below the rounding of a Hessian, which is then singular, the same steps are taken in
    coordinates of the span of the inputs, with H_j from its eigenvalues; those below its rounding count as 0.
    For a target outside the range of f the weights grow with η, and info says so where they do not arrive.

    Args:
        tolerance: a unit is solved when ‖∇_j‖ is at most this share of the size of its terms before they
            cancel; default 100 eps of the dtype.
        max_newton_steps: the largest number of Newton steps, default 50 (a handful is usual).
        memory_limit: bytes for the Hessians of one block of units, default 256 MiB.

    Raises:
        ValueError, TypeError: a setting out of its range.
    """

    tolerance: float | None = None
    max_newton_steps: int = 50
    memory_limit: int = 2**28

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            checks.keep(self, checks.positive, "tolerance")
        checks.keep(self, checks.integer, "max_newton_steps", "memory_limit")

    def init(self, W0: Any) -> State:
        """Return the empty state."""
        return {}

    def __call__(self, problem: LocalProblem, state: State, rate: float) -> tuple[Any, State, Info]:
        """Return (W̃, {}, info) for the regularizer scaled by the rate; at rate 0, (W̃₀, {}, {}).

        The search starts at W̃₀ for the proximal term, and for another regularizer where that one is least.

        Returns:
            info["converged"], info["newton_steps"] and info["relative_gradient"], the largest of all units
            (where the metric is a matrix, measured in the coordinates P^{1/2}W̃).

        Raises:
            ValueError: softmax (its Hessian couples the units), sign (it has no slope), η = inf, or a
                regularizer that is not quadratic or has a singular metric.
        """
        checks.instance("problem", problem, LocalProblem, "a LocalProblem")
        if not problem.transfer.elementwise:
            raise ValueError(f"transfer must be elementwise for newton, got {problem.transfer.name!r}")
        if problem.transfer.name in DISCONTINUOUS:
            raise ValueError(f"transfer must be continuous for newton, got {problem.transfer.name!r}")
        proximal = isinstance(problem.regularization, Proximal)
        if proximal and problem.metric == 0:
            raise ValueError("weight_step must be finite for newton, got inf")
        rate = checks.not_negative("rate", rate)
        if rate == 0:
            return problem.W0, state, {}
        problem = problem.scaled(rate)
        if proximal:
            return self._solve(problem, state)
        moved, root = _as_proximal(problem)
        W, state, info = self._solve(moved, state)
        if root is not None:
            W = root @ W
        _check_quadratic(problem, W)
        return W, state, info

    def _solve(self, problem: LocalProblem, state: State) -> tuple[Any, State, Info]:
        """Return (W̃, state, info) for a problem with the proximal term."""
        xp, tolerance = array_namespace(problem.x), self.tolerance or 100 * float(_number(problem).eps)
        solved = [
            _robust_block(problem, part, tolerance, self.max_newton_steps, xp)
            for part in self._blocks(problem)
        ]
        parts, residuals, steps = zip(*solved, strict=True)
        relative = max(residuals)
        info = {"converged": relative <= tolerance, "newton_steps": max(steps), "relative_gradient": relative}
        return xp.concat(parts, axis=1), state, info

    def _blocks(self, problem: LocalProblem) -> list[slice]:
        """Return blocks of units whose Hessians, m×m for m = min(R, d̃), fit into the memory limit."""
        (R, d), units = problem.x.shape, problem.W0.shape[1]
        m = min(R, d)
        block = max(1, self.memory_limit // (_number(problem).bits // 8 * (m * m + R * m)))
        return [slice(first, min(first + block, units)) for first in range(0, units, block)]


def newton(problem: LocalProblem, **settings: Any) -> tuple[Any, Info]:
    r"""Solve a local problem with elementwise transfer exactly, by damped Newton, see `Newton`.

    Args:
        problem: a local problem with an elementwise transfer, and finite η or another quadratic regularizer.
        **settings: `tolerance`, `max_newton_steps`, `memory_limit`, see `Newton`.

    Returns:
        (W̃, info) with info["converged"], info["newton_steps"] and info["relative_gradient"].

    Raises:
        ValueError: softmax (its Hessian couples the units), sign (it has no slope), η = inf, a regularizer
            that is not quadratic or has a singular metric, or an option out of range.
        TypeError: the problem is no LocalProblem, or an option no number.

    >>> import numpy as np
    >>> from locoprop_ref.regularizers import L2Decay
    >>> from locoprop_ref.transfers import transfer
    >>> parts = np.ones((1, 1)), np.ones((1, 1)), transfer("tanh"), np.ones((1, 1))
    >>> W, info = newton(LocalProblem(*parts, regularizer=L2Decay(1.0, decay=0.5)))
    >>> bool(abs(np.tanh(W) - 1 + (W - 1) + 0.5 * W) < 1e-14)  # the gradient
    True
    """
    return Newton(**settings)(problem, {}, 1.0)[::2]


def _number(problem: LocalProblem) -> Any:
    return array_namespace(problem.x).finfo(problem.x.dtype)


def _as_proximal(problem: LocalProblem) -> tuple[LocalProblem, Any]:
    """Return a problem with the proximal term, and None, or P^{−1/2} where its weights are Ŵ = P^{1/2}W̃."""
    x, W0, P, slope = problem.x, problem.W0, problem.metric, problem.slope
    if isinstance(P, int | float):
        if P <= 0:
            raise ValueError("weight_step must be finite for newton, got inf")
        root, anchor, eta = None, W0 if slope is None else W0 - slope / P, 1 / P
    else:
        xp = array_namespace(P)
        values, vectors = xp.linalg.eigh(P)
        if not float(values[0]) > float(_number(problem).eps) * P.shape[0] * float(values[-1]):
            raise ValueError(
                "regularizer must have a positive definite metric for newton, got a singular one"
            )
        roots = xp.sqrt(values)
        root = (vectors / roots) @ vectors.T
        anchor, eta = (vectors * roots) @ (vectors.T @ W0), 1.0
        if slope is not None:
            anchor = anchor - root @ slope
        x = x @ root
    kept = {field.name: getattr(problem, field.name) for field in fields(problem)}
    changed = {"x": x, "W0": anchor, "weight_step": eta, "regularizer": None, "regularizer_state": None}
    return LocalProblem.unchecked(**{**kept, **changed, "a_hat0": None}), root


def _check_quadratic(problem: LocalProblem, W: Any) -> None:
    """Refuse a regularizer whose gradient at the solution is not S + P(W̃ − W̃₀)."""
    xp, P, slope, change = array_namespace(W), problem.metric, problem.slope, W - problem.W0
    model = P * change if isinstance(P, int | float) else P @ change
    size = xp.linalg.vector_norm(model)
    if slope is not None:
        model, size = model + slope, size + xp.linalg.vector_norm(slope)
    own = problem.regularization.gradient(W, problem.W0, problem.memory)
    off = xp.linalg.vector_norm(model if own is None else own - model)
    # both are sums of d̃ terms, in which numbers of the size of W̃ and W̃₀ are subtracted
    largest = P if isinstance(P, int | float) else float(xp.max(xp.abs(P)))
    size += largest * (xp.linalg.vector_norm(W) + xp.linalg.vector_norm(problem.W0))
    if not float(off) <= 100 * W.shape[0] * float(_number(problem).eps) * float(size):
        got = type(problem.regularization).__name__
        raise ValueError(f"regularizer must be quadratic for newton, got {got}, whose metric changes with W̃")


def _robust_block(problem: LocalProblem, units: slice, tolerance: float, max_steps: int, xp: Any) -> Any:
    """Return what `_newton_block` does, also for η so small or so large that its numbers are no use."""
    x, W0, number = problem.x, problem.W0[:, units], _number(problem)
    eta, eps = problem.scale / problem.metric, float(number.eps)
    if eta < eps:
        a_hat = x @ W0
        steepest = float(xp.max(xp.abs(problem.transfer.derivative(a_hat)))) * float(xp.sum(x * x))
        if eta * steepest < eps:  # the Hessian is I/η after rounding: one gradient step solves the problem
            return W0 - eta * (x.T @ (problem.transfer.f(a_hat) - problem.y_target[:, units])), eps, 1
    largest = float(number.max) ** 0.4  # beyond it squares of numbers of the size of η overflow
    try:
        if eta <= largest:
            return _newton_block(problem, units, tolerance, max_steps, xp)
    except np.linalg.LinAlgError:  # I is below the rounding of ηS_j
        pass
    rotated, V = _in_span(problem, units, min(eta, largest), xp)
    everything, parts = slice(None), (tolerance, max_steps, xp, _each_by_eigenvalues)
    W, worst, steps = _newton_block(rotated, everything, *parts)
    if eta > largest:  # solved for a smaller η, which may be all the same: measured for η itself
        finite, r = min(eta, float(number.max) / 8), rotated.residual(W)
        worst = _gradient(rotated.x, rotated.y_target, r, W, rotated.W0, finite, xp)[1]
    return W0 + V @ (W - rotated.W0), worst, steps


def _in_span(problem: LocalProblem, units: slice, eta: float, xp: Any) -> tuple[LocalProblem, Any]:
    """Return the problem of some units in coordinates z of the span of the inputs, and its basis V.

    With X̃ = U diag(σ) Vᵀ the solution is W̃ = W̃₀ + V(z − z₀), and X̃W̃ = U diag(σ) VᵀW̃.
    """
    x, W0, number = problem.x, problem.W0[:, units], _number(problem)
    if not all(bool(xp.all(xp.isfinite(array))) for array in (x, W0, problem.y_target)):
        raise np.linalg.LinAlgError(
            "a layer's inputs, weights or targets are no longer finite: nan or infinity is there"
        )
    U, values, Vt = xp.linalg.svd(x, full_matrices=False)
    kept = values > max(x.shape) * float(number.eps) * values[0]
    rank = max(1, int(xp.sum(xp.astype(kept, xp.int32))))
    V = Vt[:rank, :].T
    return LocalProblem.unchecked(
        x=U[:, :rank] * values[:rank], y_target=problem.y_target[:, units], transfer=problem.transfer,
        W0=V.T @ W0, weight_step=min(eta, float(number.max) / 8), reduction="sum", a_hat0=None,
        regularizer=None, regularizer_state=None, num_examples=None, loss_weight=1.0,
    ), V  # fmt: skip


def _newton_block(
    problem: LocalProblem, units: slice, tolerance: float, max_steps: int, xp: Any, each_unit: Any = None
) -> Any:
    each_unit = each_unit or _each_unit
    x, y, W0 = problem.x, problem.y_target[:, units], problem.W0[:, units]
    f, eta = problem.transfer, problem.scale / problem.metric
    dual = x.shape[0] < x.shape[1]
    gram = x @ x.T if dual else None
    W, c = W0, xp.zeros_like(y)
    for step in range(max_steps + 1):
        a_hat = x @ W
        r = f.f(a_hat) - y
        gradient, worst = _gradient(x, y, r, W, W0, eta, xp)
        if worst <= tolerance or step == max_steps:
            return W, worst, step
        slopes = f.derivative(a_hat).T
        if dual:  # −(diag(f′_j)X̃X̃ᵀ + I/η)⁻¹ (f(â_j) − y*_j + c_j/η)
            dc = each_unit(slopes[:, :, None] * gram, r + c / eta, eta, xp)
            direction = x.T @ dc
        else:  # −(X̃ᵀdiag(f′_j)X̃ + I/η)⁻¹ ∇_j; c stays 0
            dc, direction = c, each_unit((x.T * slopes[:, None, :]) @ x, gradient, eta, xp)
        t = _line_search(f, a_hat, x @ direction, y, W - W0, direction, gradient, eta, xp)
        W, c = W + t * direction, c + t * dc


def _gradient(x: Any, y: Any, r: Any, W: Any, W0: Any, eta: float, xp: Any) -> tuple[Any, float]:
    """Return the gradient, and the largest of all units' in the size of its terms before they cancel."""
    gradient = x.T @ r + (W - W0) / eta
    # W and W₀ are rounded one by one, so that their difference is no finer than they are
    size = xp.abs(x).T @ (xp.abs(r + y) + xp.abs(y)) + (xp.abs(W) + xp.abs(W0)) / eta
    length = xp.linalg.vector_norm(size, axis=0)
    # a unit whose terms all vanish is solved: 0/1, not 0/0
    relative = xp.linalg.vector_norm(gradient, axis=0) / xp.where(length > 0, length, 1.0)
    return gradient, float(xp.max(relative))


def _each_unit(systems: Any, right: Any, eta: float, xp: Any) -> Any:
    # −(S_j + I/η)⁻¹ r_j for every unit j at once: systems are (units, m, m), r_j the columns of `right`
    return -eta * xp.linalg.solve(identity_plus(eta, systems, xp), right.T[:, :, None])[:, :, 0].T


def _each_by_eigenvalues(systems: Any, right: Any, eta: float, xp: Any) -> Any:
    # the same for symmetric S_j whose I/η is lost in rounding: eigenvalues below their rounding count as 0
    number = xp.finfo(right.dtype)
    values, vectors = xp.linalg.eigh(systems)
    noise = systems.shape[-1] * float(number.eps) * values[:, -1:]
    values = xp.where(values > noise, values, xp.zeros_like(values)) + 1 / eta
    along = (xp.matrix_transpose(vectors) @ right.T[:, :, None])[:, :, 0] / values
    # a step whose square can still be summed
    longest = float(number.max) ** 0.5 / (4 * systems.shape[-1])
    along = xp.clip(along, -longest, longest)
    return -(vectors @ along[:, :, None])[:, :, 0].T


def _line_search(
    f: Any, a_hat: Any, da: Any, y: Any, V: Any, dW: Any, gradient: Any, eta: float, xp: Any
) -> Any:
    """Return the step length of every unit: 1, halved until the objective falls enough (Armijo, 1e-4)."""
    F, slope = f.F(a_hat), xp.sum(gradient * dW, axis=0)
    # differences below the rounding of their terms are no evidence against a step
    eps = float(xp.finfo(y.dtype).eps)
    slack = 4 * eps * (xp.sum(xp.abs(F) + xp.abs(y * a_hat), axis=0) + xp.sum(V * V, axis=0) / eta)
    t = xp.ones_like(slope)
    for _ in range(60):
        rise = xp.sum(f.F(a_hat + t * da) - F - y * (t * da), axis=0)
        rise = rise + xp.sum(t * dW * (2 * V + t * dW), axis=0) / (2 * eta)
        failed = rise > 1e-4 * t * slope + slack
        if not bool(xp.any(failed)):
            break
        t = xp.where(failed, t / 2, t)
    return t


def newton_cost(layer_sizes: tuple[int, ...], batch_size: int, *, bias: bool = True) -> float:
    """Return the floating-point operations of one Newton step on every layer of a network.

    Each unit forms a Hessian, 2Bm², and solves with it, ⅔m³, where m = min(B, d̃); in the dual the Hessian
    is a scaled copy of one Gram matrix, so that only the solve remains.
    """
    checks.boolean("bias", bias)
    batch_size = checks.integer("batch_size", batch_size)
    if len(layer_sizes) < 2:
        raise ValueError(f"layer_sizes must have at least two widths, got {checks.shown(layer_sizes)}")
    layer_sizes = tuple(checks.integer("layer_sizes", width) for width in layer_sizes)
    total = 0.0
    for d_in, d_out in pairwise(layer_sizes):
        d = d_in + bias
        primal = 2 * batch_size * d**2 + 2 / 3 * d**3
        total += d_out * (primal if batch_size >= d else 2 / 3 * batch_size**3)
    return total
