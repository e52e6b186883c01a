r"""Solvers of a local problem: in closed form (S), by K steps (S or M), by damped Newton (M, exact).

    ClosedForm   W̃ = W̃₀ − η(I + ηX̃ᵀX̃)⁻¹X̃ᵀr,  r = X̃W̃₀ − y* = γg         squared local loss
    Descend      W̃ ← W̃ − step of a first-order rule, K times              any local loss
    Newton       w̃_j ← w̃_j − t (X̃ᵀdiag(f′)X̃ + I/η)⁻¹ ∇_j, unit by unit     elementwise local loss

`Newton` has a file of its own, `newton_solvers`.

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
from math import inf
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import (
    array_namespace,
    check_regular,
    device,
    identity_plus,
    solve_positive_definite,
)
from locoprop_ref.blocks import whole
from locoprop_ref.local import LocalProblem

# with a file of their own, and importable from here as the other solvers are
from locoprop_ref.newton_solvers import Info as Info
from locoprop_ref.newton_solvers import Newton as Newton
from locoprop_ref.newton_solvers import newton as newton
from locoprop_ref.newton_solvers import newton_cost as newton_cost
from locoprop_ref.optimizers import AUTHORS_RMSPROP, Optimizer, State

Form = Literal["auto", "primal", "dual", "inverse"]
LocalDecay = Literal["authors", "constant"]
LocalState = Literal["keep", "reset"]
GradientForm = Literal["auto", "plain", "gram"]
FORMS: tuple[str, ...] = get_args(Form)
#: Every step has a size of its own, and their list must fit into memory.
MAX_LOCAL_STEPS = 10**6
LOCAL_DECAYS: tuple[str, ...] = get_args(LocalDecay)
LOCAL_STATES: tuple[str, ...] = get_args(LocalState)
GRADIENT_FORMS: tuple[str, ...] = get_args(GradientForm)


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

    The systems lose log₁₀(1 + η tr X̃ᵀX̃) digits. Where none would be left, from η tr X̃ᵀX̃ = 1/eps on, the
    solution is computed from the singular values σ of X̃, in every form: it loses log₁₀(σ_max/σ_min) digits,
    however large η is. Singular values of at most max(R, d̃) eps σ_max count as 0, as in the pseudo-inverse,
    so that also the inputs of rank below d̃ have the limit of minimum norm. It takes several times as long.

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
            numpy.linalg.LinAlgError: the inputs or the weights are no longer finite, or the metric of a
                regularizer of your own is singular.
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
        try:
            return problem.W0 - eta * _CLOSED_FORMS[form](x, r, eta, xp), state, {}
        except np.linalg.LinAlgError:  # I is below the rounding of ηX̃ᵀX̃
            return problem.W0 - _by_singular_values(x, r, 1.0, P / problem.scale, xp), state, {}

    def _in_metric(self, problem: LocalProblem, P: Any, r: Any, slope: Any, xp: Any) -> Any:
        # W̃₀ − (cκ X̃ᵀX̃ + P)⁻¹ (c X̃ᵀr + ∇R)
        x, c, kappa = problem.x, problem.scale, problem.transfer.parameters.get("slope", 1)
        if self.form not in ("auto", "primal"):
            of = "regularizer" if kappa == 1 else "local loss"
            raise ValueError(f"form must be auto or primal for this {of}, got {self.form!r}")
        gram, matrix = c * kappa * (x.T @ x), P
        if isinstance(P, int | float):
            P = min(P, float(xp.finfo(r.dtype).max) / 2)  # beyond which no weight moves
            matrix = P * xp.eye(x.shape[1], dtype=r.dtype, device=device(r))
        right = c * (x.T @ r)
        if slope is not None:
            right += slope
        try:
            if matrix is not P:
                check_regular(1 / P if P else inf, gram, xp)
            return problem.W0 - solve_positive_definite(gram + matrix, right, xp=xp)
        except np.linalg.LinAlgError:
            if matrix is P or P == 0:
                raise
        # the proximal term of P around another anchor
        anchor = problem.W0 if slope is None else problem.W0 - slope / P
        r = r + kappa * (whole(x) @ (anchor - problem.W0))
        return anchor - _by_singular_values(x, r, kappa, P / c, xp)


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
        TypeError: the problem is no LocalProblem.

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
    return solve_positive_definite(identity_plus(eta, x.T @ x, xp), x.T @ r, xp=xp)


def _dual(x: Any, r: Any, eta: float, xp: Any) -> Any:
    # X̃ᵀ (I + ηX̃X̃ᵀ)⁻¹ r
    return x.T @ solve_positive_definite(identity_plus(eta, x @ x.T, xp), r, xp=xp)


def _inverse(x: Any, r: Any, eta: float, xp: Any) -> Any:
    return xp.linalg.inv(identity_plus(eta, x.T @ x, xp)) @ (x.T @ r)


def _by_singular_values(x: Any, r: Any, kappa: float, p: float, xp: Any) -> Any:
    """Return (κX̃ᵀX̃ + pI)⁻¹X̃ᵀr, for p = 0 the limit of minimum norm, from X̃ = U diag(σ) Vᵀ."""
    x = whole(x)
    if not bool(xp.all(xp.isfinite(x))) or not bool(xp.all(xp.isfinite(r))):
        raise np.linalg.LinAlgError(
            "a layer's inputs or weights are no longer finite: nan or infinity is there"
        )
    U, values, Vt = xp.linalg.svd(x, full_matrices=False)
    kept = values > max(x.shape) * float(xp.finfo(x.dtype).eps) * values[0]
    values = xp.where(kept, values, xp.ones_like(values))
    # σ/(κσ² + p), in which no square can overflow
    factors = xp.where(kept, 1 / (kappa * values + p / values), xp.zeros_like(values))
    return Vt.T @ (factors[:, None] * (U.T @ r))


_CLOSED_FORMS = {"primal": _primal, "dual": _dual, "inverse": _inverse}


# K local steps ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Descend:
    """K local steps W̃ ← W̃ − change(∇), with any first-order rule.

    Args:
        optimizer: local first-order rule, default the authors' RMSProp.
        local_lr: s > 0, default 1e-5 (the authors).
        num_local_steps: K, from 1 to `MAX_LOCAL_STEPS`, default 10 (the authors).
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
    K = checks.integer("num_local_steps", num_local_steps, maximum=MAX_LOCAL_STEPS)
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
