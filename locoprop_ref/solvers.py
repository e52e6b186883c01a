r"""Solvers of a local problem: in closed form (S), by K steps (S or M), by damped Newton (M, exact).

    ClosedForm   W̃ = W̃₀ − η(I + ηX̃ᵀX̃)⁻¹X̃ᵀr,  r = X̃W̃₀ − y* = γg         squared local loss
    Descend      W̃ ← W̃ − step of a first-order rule, K times              any local loss
    Newton       w̃_j ← w̃_j − t (X̃ᵀdiag(f′)X̃ + I/η)⁻¹ ∇_j, unit by unit     elementwise local loss, η finite

A solver is a frozen dataclass of settings that is called with a problem, its state and the schedule's rate r,
and returns (W̃, state, info). The rate multiplies the step size, s of `Descend` and η of the exact solvers,
never γ. `closed_form`, `descend` and `newton` are the same as plain functions.

A class of your own with the two methods of `Solver` is a solver, and inherits from nothing:

>>> from locoprop_ref.methods.locoprop import LocoProp
>>> class OneGradientStep:
...     "W̃ ← W̃₀ − s∇, which is BackProp with the learning rate s·γ."
...     def init(self, W0):
...         return {}
...     def __call__(self, problem, state, rate):
...         return problem.W0 - rate * 0.01 * problem.gradient(problem.W0), state, {}
>>> LocoProp("matching", solver=OneGradientStep()).targets.step
10.0
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, solve_positive_definite
from locoprop_ref.blocks import whole
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import AUTHORS_RMSPROP, Optimizer, State
from locoprop_ref.regularizers import Proximal
from locoprop_ref.transfers import DISCONTINUOUS

Form = Literal["auto", "primal", "dual", "inverse"]
LocalDecay = Literal["authors", "constant"]
LocalState = Literal["keep", "reset"]
GradientForm = Literal["auto", "plain", "gram"]
FORMS: tuple[str, ...] = get_args(Form)
LOCAL_DECAYS: tuple[str, ...] = get_args(LocalDecay)
LOCAL_STATES: tuple[str, ...] = get_args(LocalState)
GRADIENT_FORMS: tuple[str, ...] = get_args(GradientForm)

Info = dict[str, Any]


@runtime_checkable
class Solver(Protocol):
    """The contract of a solver of local problems."""

    def init(self, W0: Any) -> State:
        """Return the state of one layer before the first batch; {} for a solver without memory."""

    def __call__(self, problem: LocalProblem, state: State, rate: float) -> tuple[Any, State, Info]:
        """Return (W̃, state, info).

        Args:
            problem: the local problem; the search starts at its W̃₀.
            state: what `init` or the step before returned.
            rate: r ≥ 0, the schedule's factor of the step size; 0 moves nothing.
        """


# LocoProp-S in closed form ------------------------------------------------------------------------


@dataclass(frozen=True)
class ClosedForm:
    r"""The exact solution of the squared local problem.

    With r = X̃W̃₀ − y*, which is γg,

        primal:   W̃₀ − η (I + ηX̃ᵀX̃)⁻¹ X̃ᵀ r        a d̃×d̃ system, cheaper for R ≥ d̃
        dual:     W̃₀ − η X̃ᵀ (I + ηX̃X̃ᵀ)⁻¹ r        an R×R system, cheaper for R < d̃ (push-through identity)
        inverse:  primal with the matrix inverse written out, as it is derived; slower and less accurate

    For η = inf the limit: W̃₀ − X̃⁺r, the change of minimum norm. With the mean over the batch η becomes η/B.
    A schedule's rate r multiplies η; for η = inf, where no multiple of η is another one, it multiplies the
    change of minimum norm. A quadratic regularizer of your own is solved with its metric P and its gradient ∇
    at W̃₀, always in the primal: W̃₀ − (X̃ᵀX̃ + P)⁻¹ (X̃ᵀr + ∇).

    For `constant_slope(κ)` the Gram matrix gets the factor κ, W̃₀ − (κX̃ᵀX̃ + I/η)⁻¹ X̃ᵀr, in the primal; for κ =
    0, the linear local loss, this is a gradient step, W̃₀ − ηγ ∂L/∂W̃.

    Args:
        form: "auto" (default: primal or dual by shape), "primal", "dual" or "inverse".

    Raises:
        ValueError: an unknown form.
    """

    form: Form = "auto"

    def __post_init__(self) -> None:
        checks.one_of("form", self.form, FORMS)

    def init(self, W0: Any) -> State:
        """Return the empty state."""
        return {}

    def __call__(self, problem: LocalProblem, state: State, rate: float) -> tuple[Any, State, Info]:
        """Return (W̃, {}, {}) for the regularizer of the rate; rate 0 moves nothing.

        Raises:
            ValueError: the local transfer is not the identity or of constant slope, the inverse or the
                linear loss with η = inf, or a form that the regularizer does not allow.
        """
        checks.instance("problem", problem, LocalProblem, "a LocalProblem")
        if problem.transfer.name not in ("identity", "constant_slope"):
            raise ValueError(f"transfer must be 'identity' for a closed form, got {problem.transfer.name!r}")
        rate = checks.not_negative("rate", rate)
        if rate == 0:
            return problem.W0, state, {}
        problem = problem.scaled(rate)
        x, xp = problem.x, array_namespace(problem.W0)
        r, kappa = problem.residual(problem.W0), problem.transfer.parameters.get("slope", 1)
        P, slope = problem.metric, problem.slope
        plain = slope is None and isinstance(P, int | float)
        if plain and P == 0:
            if self.form == "inverse" or kappa == 0:
                of = "form 'inverse'" if kappa else "the linear local loss"
                raise ValueError(f"weight_step must be finite for {of}, got inf")
            return problem.W0 - rate * (xp.linalg.pinv(whole(x)) @ (r / kappa)), state, {}
        if not plain or kappa != 1:
            return self._in_metric(problem, P, r, slope, xp), state, {}
        eta = problem.scale / P
        fitting = "primal" if x.shape[0] >= x.shape[1] else "dual"
        form = fitting if self.form == "auto" else self.form
        if form == "dual":
            x = whole(x)
        return problem.W0 - eta * _CLOSED_FORMS[form](x, r, eta, xp), state, {}

    def _in_metric(self, problem: LocalProblem, P: Any, r: Any, slope: Any, xp: Any) -> Any:
        # W̃₀ − (cκ X̃ᵀX̃ + P)⁻¹ (c X̃ᵀr + ∇R)
        x, c, kappa = problem.x, problem.scale, problem.transfer.parameters.get("slope", 1)
        if self.form not in ("auto", "primal"):
            of = "regularizer" if kappa == 1 else "local loss"
            raise ValueError(f"form must be auto or primal for this {of}, got {self.form!r}")
        gram = c * kappa * (x.T @ x)
        gram += P * xp.eye(x.shape[1], dtype=r.dtype, device=device(r)) if isinstance(P, int | float) else P
        right = c * (x.T @ r)
        if slope is not None:
            right += slope
        return problem.W0 - solve_positive_definite(gram, right, xp=xp)


def closed_form(problem: LocalProblem, *, form: Form = "auto") -> Any:
    r"""Solve the squared local problem exactly, see `ClosedForm`.

    Args:
        problem: a local problem whose transfer is the identity, or `constant_slope`.
        form: "auto" (default: primal or dual by shape), "primal", "dual" or "inverse".

    Returns:
        W̃, (d̃, d_out).

    Raises:
        ValueError: the local transfer is not the identity or of constant slope, an unknown form, or the
            inverse or the linear loss with η = inf.

    >>> import numpy as np
    >>> from locoprop_ref.transfers import transfer
    >>> problem = LocalProblem(np.eye(2), np.ones((2, 1)), transfer("identity"), np.zeros((2, 1)), 1.0)
    >>> closed_form(problem)  # halfway to the target: η/(1 + η) = ½
    array([[0.5],
           [0.5]])
    """
    return ClosedForm(form)(problem, {}, 1.0)[0]


def _primal(x: Any, r: Any, eta: float, xp: Any) -> Any:
    # (I + ηX̃ᵀX̃)⁻¹ X̃ᵀr
    return solve_positive_definite(_identity_plus(eta, x.T @ x, xp), x.T @ r, xp=xp)


def _dual(x: Any, r: Any, eta: float, xp: Any) -> Any:
    # X̃ᵀ (I + ηX̃X̃ᵀ)⁻¹ r
    return x.T @ solve_positive_definite(_identity_plus(eta, x @ x.T, xp), r, xp=xp)


def _inverse(x: Any, r: Any, eta: float, xp: Any) -> Any:
    return xp.linalg.inv(_identity_plus(eta, x.T @ x, xp)) @ (x.T @ r)


def _identity_plus(eta: float, gram: Any, xp: Any) -> Any:
    gram *= eta
    gram += xp.eye(gram.shape[-1], dtype=gram.dtype, device=device(gram))
    return gram


_CLOSED_FORMS = {"primal": _primal, "dual": _dual, "inverse": _inverse}


# K local steps ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Descend:
    """K local steps W̃ ← W̃ − change(∇), with any first-order rule.

    Args:
        optimizer: local first-order rule, default the authors' RMSProp.
        local_lr: s > 0, default 1e-5 (the authors).
        num_local_steps: K ≥ 1, default 10 (the authors).
        local_decay: see `local_rates`; default "authors".
        local_state: "keep" the rule's state from batch to batch (default, the authors) or "reset" it.
        gradient_form: "plain", as `LocalProblem.gradient` has it; "gram" (S only), see `gram_gradient`;
            "auto" (default): for S the cheaper by count. They agree to rounding.

    Raises:
        ValueError, TypeError: a setting out of its range.
    """

    optimizer: Optimizer = AUTHORS_RMSPROP
    local_lr: float = 1e-5
    num_local_steps: int = 10
    local_decay: LocalDecay = "authors"
    local_state: LocalState = "keep"
    gradient_form: GradientForm = "auto"

    def __post_init__(self) -> None:
        checks.conforms("optimizer", self.optimizer, Optimizer, "an Optimizer, as optimizer('sgd') makes")
        checks.keep(self, checks.positive, "local_lr")
        checks.keep(self, checks.integer, "num_local_steps")
        _ = self.rates  # checked on the way
        checks.one_of("local_state", self.local_state, LOCAL_STATES)
        checks.one_of("gradient_form", self.gradient_form, GRADIENT_FORMS)

    @functools.cached_property
    def rates(self) -> tuple[float, ...]:
        """The K step sizes s_k, see `local_rates`."""
        return local_rates(self.local_lr, self.num_local_steps, self.local_decay)

    def init(self, W0: Any) -> State:
        """Return the local optimizer's state before the first batch."""
        return self.optimizer.init(W0)

    def __call__(self, problem: LocalProblem, state: State, rate: float) -> tuple[Any, State, Info]:
        """Return (W̃, state, {}) after K steps of sizes r·s_k; rate 0 moves nothing but updates the state."""
        rate = checks.not_negative("rate", rate)
        if self.local_state == "reset":
            state = self.optimizer.init(problem.W0)
        W, gradient = problem.W0, gradient_in_form(problem, self.num_local_steps, self.gradient_form)
        for s in self.rates:
            change, state = self.optimizer.update(gradient(W), state, rate * s)
            W = W - change
        return W, state, {}


def descend(
    problem: LocalProblem, optimizer: Optimizer, state: State | None = None, **settings: Any
) -> tuple[Any, State]:
    """Take K steps on a local problem with any first-order rule, see `Descend`.

    Args:
        problem: the local problem, of S or M.
        optimizer: local first-order rule.
        state: its state, kept from the batch before; default a fresh one.
        **settings: `local_lr`, `num_local_steps`, `local_decay`, `gradient_form`, see `Descend`.

    Returns:
        (W̃, state of the optimizer).

    Raises:
        ValueError, TypeError: s ≤ 0, K < 1, unknown names.
    """
    checks.instance("problem", problem, LocalProblem, "a LocalProblem")
    return Descend(optimizer, **settings)(
        problem, optimizer.init(problem.W0) if state is None else state, 1.0
    )[:2]


def local_rates(local_lr: float, num_local_steps: int, local_decay: str = "authors") -> tuple[float, ...]:
    """Return the K step sizes s_k, k = 0..K−1.

    Args:
        local_lr: s > 0.
        num_local_steps: K ≥ 1.
        local_decay: "authors" (default, their code): s·max(1 − k/K, 0.25); or "constant": s.

    Raises:
        ValueError, TypeError: s ≤ 0, K < 1, or an unknown decay.

    >>> local_rates(1.0, 4)
    (1.0, 0.75, 0.5, 0.25)
    """
    s = checks.positive("local_lr", local_lr)
    K = checks.integer("num_local_steps", num_local_steps)
    checks.one_of("local_decay", local_decay, LOCAL_DECAYS)
    if local_decay == "constant":
        return (s,) * K
    return tuple([s * max(1 - k / K, 0.25) for k in range(K)])


def local_steps(
    problem: LocalProblem, optimizer: Optimizer, state: State, rates: tuple[float, ...], form: str = "plain"
) -> Iterator[tuple[Any, State]]:
    """Yield (W̃, state) after each inner step, W̃ ← W̃ − change(∇ of the local problem).

    Args:
        problem: the local problem, of S or M; the steps start at its W̃₀.
        optimizer: local first-order rule.
        state: its state before the first step.
        rates: the step sizes s_k, one for each step, see `local_rates`.
        form: how the gradient is computed, "plain" (default), "gram" or "auto", see `Descend`.

    Raises:
        ValueError: an unknown form, or "gram" for another local problem than that of S.
    """
    W, gradient = problem.W0, gradient_in_form(problem, len(rates), form)
    for rate in rates:
        change, state = optimizer.update(gradient(W), state, rate)
        W = W - change
        yield W, state


def gram_gradient(problem: LocalProblem) -> Callable[[Any], Any]:
    r"""Return the gradient of the squared local problem as a function of W̃, through the Gram matrix.

    In ΔW = W̃ − W̃₀ it is X̃ᵀX̃ ΔW + X̃ᵀ(X̃W̃₀ − y*) + ∂R/∂W̃, for the proximal term linear in ΔW. X̃ᵀX̃ and the
    first inner gradient, which is γ ∂L/∂W̃, are computed once; a step then costs d̃²d_out multiplications
    instead of 2Rd̃d_out.
    """
    x, W0, regularizer, state = problem.x, problem.W0, problem.regularization, problem.memory
    first, gram, slope = problem.gradient(W0), x.T @ x, problem.slope
    if problem.scale != 1:
        gram *= problem.scale
    data = first if slope is None else first - slope

    def gradient(W: Any) -> Any:
        if W is W0:
            return first
        result = gram @ (W - W0)
        result += data
        from_regularizer = regularizer.gradient(W, W0, state)
        if from_regularizer is not None:
            result += from_regularizer
        return result

    return gradient


def gradient_in_form(problem: LocalProblem, steps: int, form: str) -> Callable[[Any], Any]:
    """Return a local problem's gradient as a function of W̃, for K = `steps` of them.

    Args:
        problem: the local problem.
        steps: K.
        form: "plain", as `LocalProblem.gradient` has it; "gram" (S only); "auto": for S the cheaper by count.

    Raises:
        ValueError: an unknown form, or "gram" where the local transfer is not the identity.
    """
    checks.one_of("gradient_form", form, GRADIENT_FORMS)
    squared = problem.transfer.name == "identity"
    if form == "gram" and not squared:
        raise ValueError(f"gradient_form must be plain for transfer {problem.transfer.name!r}, got 'gram'")
    (batch, d), d_out = problem.x.shape, problem.W0.shape[1]
    if form == "gram" or (form == "auto" and squared and prefers_gram(batch, d, d_out, steps)):
        return gram_gradient(problem)
    return problem.unchecked_gradient


def prefers_gram(batch: int, d: int, d_out: int, steps: int) -> bool:
    """Tell whether K inner steps of S multiply less through the Gram matrix, by count of operations.

    Bd̃² + Bd̃d_out + (K − 1)d̃²d_out against (2K − 1)Bd̃d_out, the first pre-activation being given in both.

    >>> prefers_gram(1000, 785, 1000, 10), prefers_gram(1000, 785, 1000, 1)
    (True, False)
    """
    return batch * d + batch * d_out + (steps - 1) * d * d_out < (2 * steps - 1) * batch * d_out


# LocoProp-M solved exactly ------------------------------------------------------------------------


@dataclass(frozen=True)
class Newton:
    r"""The exact solution of a local problem with elementwise transfer, by damped Newton.

    The problem separates into one convex regression per output unit j, with gradient and Hessian

        ∇_j = X̃ᵀ(f(â_j) − y*_j) + (w̃_j − w̃₀_j)/η,        H_j = X̃ᵀdiag(f′(â_j))X̃ + I/η.

    Undamped steps may cycle (seen for tanh and ReLU), so each unit has its own backtracking line search
    (Armijo); at kinks f′ is a generalized derivative and the method is semismooth Newton. For R < d̃ the
    step is computed in the span of the inputs: w̃ = w̃₀ + X̃ᵀc leaves an R×R system per unit,
    (I/η + diag(f′)X̃X̃ᵀ) Δc = −(f(â) − y* + c/η).

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
        """Return (W̃, {}, info) for the proximal step r·η; rate 0 moves nothing, and has nothing to report.

        Returns:
            info["converged"], info["newton_steps"] and info["relative_gradient"], the largest of all units.

        Raises:
            ValueError: softmax (its Hessian couples the units), sign (it has no slope), or η = inf.
            TypeError: another regularizer than the proximal term.
        """
        checks.instance("problem", problem, LocalProblem, "a LocalProblem")
        if not problem.transfer.elementwise:
            raise ValueError(f"transfer must be elementwise for newton, got {problem.transfer.name!r}")
        if problem.transfer.name in DISCONTINUOUS:
            raise ValueError(f"transfer must be continuous for newton, got {problem.transfer.name!r}")
        checks.instance("regularizer", problem.regularization, Proximal, "the proximal term for newton")
        if problem.metric == 0:
            raise ValueError("weight_step must be finite for newton, got inf")
        rate = checks.not_negative("rate", rate)
        if rate == 0:
            return problem.W0, state, {}
        problem = problem.scaled(rate)
        xp, tolerance = array_namespace(problem.x), self.tolerance or 100 * float(_number(problem).eps)
        solved = [
            _newton_block(problem, part, tolerance, self.max_newton_steps, xp)
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
        problem: a local problem with an elementwise transfer and finite η.
        **settings: `tolerance`, `max_newton_steps`, `memory_limit`, see `Newton`.

    Returns:
        (W̃, info) with info["converged"], info["newton_steps"] and info["relative_gradient"].

    Raises:
        ValueError: softmax (its Hessian couples the units), sign (it has no slope), η = inf, or an option
            out of range.
    """
    return Newton(**settings)(problem, {}, 1.0)[::2]


def _number(problem: LocalProblem) -> Any:
    return array_namespace(problem.x).finfo(problem.x.dtype)


def _newton_block(problem: LocalProblem, units: slice, tolerance: float, max_steps: int, xp: Any) -> Any:
    x, y, W0 = problem.x, problem.y_target[:, units], problem.W0[:, units]
    f, eta = problem.transfer, problem.scale / problem.metric
    dual = x.shape[0] < x.shape[1]
    gram = x @ x.T if dual else None
    W, c = W0, xp.zeros_like(y)
    for step in range(max_steps + 1):
        a_hat = x @ W
        r = f.f(a_hat) - y
        gradient = x.T @ r + (W - W0) / eta
        # W and W₀ are rounded one by one, so that their difference is no finer than they are
        size = xp.abs(x).T @ (xp.abs(r + y) + xp.abs(y)) + (xp.abs(W) + xp.abs(W0)) / eta
        length = xp.linalg.vector_norm(size, axis=0)
        # a unit whose terms all vanish is solved: 0/1, not 0/0
        relative = xp.linalg.vector_norm(gradient, axis=0) / xp.where(length > 0, length, 1.0)
        worst = float(xp.max(relative))
        if worst <= tolerance or step == max_steps:
            return W, worst, step
        slopes = f.derivative(a_hat).T
        if dual:  # −(diag(f′_j)X̃X̃ᵀ + I/η)⁻¹ (f(â_j) − y*_j + c_j/η)
            dc = _each_unit(slopes[:, :, None] * gram, r + c / eta, eta, xp)
            direction = x.T @ dc
        else:  # −(X̃ᵀdiag(f′_j)X̃ + I/η)⁻¹ ∇_j; c stays 0
            dc, direction = c, _each_unit((x.T * slopes[:, None, :]) @ x, gradient, eta, xp)
        t = _line_search(f, a_hat, x @ direction, y, W - W0, direction, gradient, eta, xp)
        W, c = W + t * direction, c + t * dc


def _each_unit(systems: Any, right: Any, eta: float, xp: Any) -> Any:
    # −(S_j + I/η)⁻¹ r_j for every unit j at once: systems are (units, m, m), r_j the columns of `right`
    return -eta * xp.linalg.solve(_identity_plus(eta, systems, xp), right.T[:, :, None])[:, :, 0].T


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
    total = 0.0
    for d_in, d_out in pairwise(layer_sizes):
        d = d_in + bias
        primal = 2 * batch_size * d**2 + 2 / 3 * d**3
        total += d_out * (primal if batch_size >= d else 2 / 3 * batch_size**3)
    return total
