r"""The local problem of a layer: local loss, target, regularizer.

Every layer gets its own convex problem, anchored at its present weights W̃₀:

    min_W̃  Σ_rows D_F(x̃W̃, a*)  +  (1/2η)‖W̃ − W̃₀‖²,        y* = f(a*) = f(â₀) − γg

with the Bregman divergence D_F(â, a*) = F(â) − F(a*) − f(a*)·(â − a*) of F, the **matching loss** of f. The
local loss says which f: LocoProp-M takes the layer's own f and F; LocoProp-S takes the identity and a²/2, so
that D_F is the squared loss on pre-activations, and is otherwise the same problem; f = 0 and F = 0 leave
γ⟨∂L/∂W̃, W̃⟩, the linear loss of gradient descent. Local losses **sum** over the batch: g carries the 1/B of
the network loss already.

Source: Amid, Anil, Warmuth, "LocoProp: Enhancing BackProp via Local Loss Optimization", AISTATS 2022.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from math import inf
from typing import Any, Literal, get_args

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace
from locoprop_ref.layers import Layer
from locoprop_ref.regularizers import Proximal, Regularizer, State
from locoprop_ref.transfers import Transfer, transfer

Reduction = Literal["sum", "mean"]
REDUCTIONS: tuple[str, ...] = get_args(Reduction)

_IDENTITY = transfer("identity")
_REGULARIZER = "a Regularizer, as Proximal(0.1) is"


def constant_slope(slope: float) -> Transfer:
    r"""Return the local transfer function f = κâ, whose slope is the same everywhere; F = κâ²/2.

    The exact step of its local problem is a preconditioned gradient step,

        W̃ = W̃₀ − γ (κX̃ᵀX̃ + I/η)⁻¹ ∂L/∂W̃,

    so that κ leads from gradient descent with the rate ηγ (κ = 0, the linear loss) to LocoProp-S (κ = 1).
    LocoProp-M has slopes of f in the place of κ, one for each example and unit.

    For κ = 0 the target y* = −γg lies outside the range {0} of f: the linear loss is bounded below only
    with a regularizer. `low` and `high` stay infinite, so that no projection removes that target.

    Args:
        slope: κ ≥ 0.

    Raises:
        ValueError, TypeError: κ is not a number of at least 0.

    >>> import numpy as np
    >>> constant_slope(0.5).F(np.array([2.0]))
    array([1.])
    """
    κ = checks.not_negative("slope", slope)
    return Transfer(
        "constant_slope", parameters={"slope": κ},
        f=lambda a, xp: κ * a,
        F=lambda a, xp: κ * a * a / 2,
        derivative=lambda a, xp: xp.full_like(a, κ),
        inverse=(lambda y, xp: y / κ) if κ else None,
        F_star=(lambda y, xp: y * y / (2 * κ)) if κ else lambda y, xp: xp.where(y == 0, y, xp.inf),
        D=lambda a_hat, a, xp: κ * (a_hat - a) ** 2 / 2,
    )  # fmt: skip


_LINEAR = constant_slope(0)

# name of the local loss → the local transfer function of a layer
LOCAL_LOSSES: dict[str, Callable[[Layer], Transfer]] = {
    "linear": lambda layer: _LINEAR,  # gradient descent
    "squared": lambda layer: _IDENTITY,  # LocoProp-S
    "matching": lambda layer: layer.transfer,  # LocoProp-M
}


@dataclass(frozen=True)
class LocalProblem:
    r"""One layer's problem, min over W̃ of c·Σ_rows [F(x̃W̃) − y*·x̃W̃] + R(W̃, W̃₀).

    c = 1 for the reduction "sum"; for "mean" the sum over the rows is divided by the number of examples, c =
    1/B; either is multiplied by `loss_weight`. With c = 1 and the proximal term for R this is the objective
    of the module's first lines less the constant Σ F*(y*), so that it needs only y*, never a*, and stays
    defined where F*(y*) is infinite.

    Args:
        x: X̃, (R, d̃) rows of the layer's input, the bias' column of ones included.
        y_target: y*, (R, d_out); a target of â for S, of ŷ for M.
        transfer: the local transfer function: the layer's own for M, the identity for S.
        W0: W̃₀, (d̃, d_out) the weights where the problem is anchored, the bias as last row.
        weight_step: η > 0, short for `regularizer=Proximal(η)`; default inf (the authors' code): none.
        reduction: "sum" over the batch (default, the authors' code) or "mean".
        a_hat0: X̃W̃₀, where the forward pass has computed it already; saves the solvers one product.
        regularizer: R; default the proximal term with the step `weight_step`.
        regularizer_state: what the regularizer remembers; default what its `init` returns.
        num_examples: B, where the rows are more than the examples; default the number of rows.
        loss_weight: a factor > 0 of the local loss, default 1; 1/B makes a sum of the network's own losses
            the network loss.

    Raises:
        ValueError, TypeError: shapes that do not fit, mixed dtypes, η ≤ 0, unknown reduction, a factor ≤ 0,
            or both `weight_step` and `regularizer`.

    >>> import numpy as np
    >>> from locoprop_ref.transfers import transfer
    >>> problem = LocalProblem(np.eye(2), np.ones((2, 3)), transfer("tanh"), np.zeros((2, 3)))
    >>> problem.gradient(problem.W0)[0]
    array([-1., -1., -1.])
    """

    x: Any
    y_target: Any
    transfer: Transfer
    W0: Any
    weight_step: float = inf
    reduction: str = "sum"
    a_hat0: Any = None
    regularizer: Regularizer | None = None
    regularizer_state: State | None = None
    num_examples: int | None = None
    loss_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.regularizer is not None and self.weight_step != inf:
            raise ValueError(f"weight_step is short for a regularizer, got both, {self.weight_step}")
        self._check()

    @classmethod
    def unchecked(cls, **values: Any) -> "LocalProblem":
        """Return a problem whose parts are known to fit each other; for a training step, not for users.

        Args:
            **values: the arguments of the class, by name.
        """
        problem = object.__new__(cls)
        problem.__dict__.update(values)
        return problem

    def _check(self) -> None:
        checks.instance("transfer", self.transfer, Transfer, "a Transfer, as transfer('tanh') makes")
        checks.batch("x", self.x)
        checks.array("y_target", self.y_target, shape=(self.x.shape[0], None))
        checks.array("W0", self.W0, shape=(self.x.shape[1], self.y_target.shape[1]))
        if self.a_hat0 is not None:
            checks.array("a_hat0", self.a_hat0, shape=tuple(self.y_target.shape))
        checks.same_dtype(x=self.x, y_target=self.y_target, W0=self.W0, a_hat0=self.a_hat0)
        checks.one_of("reduction", self.reduction, REDUCTIONS)
        checks.keep(self, checks.positive, "loss_weight")
        if self.regularizer is not None:
            checks.conforms("regularizer", self.regularizer, Regularizer, _REGULARIZER)
        _ = self.regularization  # which checks η

    @functools.cached_property
    def scale(self) -> float:
        """Factor c of the data term: 1 for the sum over the batch, 1/B for the mean, times `loss_weight`."""
        if self.reduction == "sum":
            return self.loss_weight
        return self.loss_weight / (self.num_examples or self.x.shape[0])

    @functools.cached_property
    def regularization(self) -> Regularizer:
        """The regularizer R: the one that was given, or the proximal term of `weight_step`."""
        return Proximal(self.weight_step) if self.regularizer is None else self.regularizer

    @functools.cached_property
    def memory(self) -> State:
        """What the regularizer remembers."""
        state = self.regularizer_state
        return self.regularization.init(self.W0) if state is None else state

    @property
    def metric(self) -> Any:
        """Second derivative P of the regularizer at W̃₀: a number for a multiple of I, or a matrix."""
        return self.regularization.metric(self.W0, self.W0, self.memory)

    @property
    def slope(self) -> Any:
        """Gradient of the regularizer at W̃₀, (d̃, d_out), or None where it is least there."""
        return self.regularization.gradient(self.W0, self.W0, self.memory)

    def scaled(self, rate: float) -> "LocalProblem":
        """Return the problem with the regularizer of a schedule's rate r, such as the proximal step r·η."""
        if type(rate) is not float:
            rate = checks.number("rate", rate)
        if rate == 1:
            return self
        scaled = self.regularization.scaled(rate)
        checks.conforms("regularizer", scaled, Regularizer, _REGULARIZER)
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return LocalProblem.unchecked(**{**kept, "weight_step": inf, "regularizer": scaled})

    def pre_activation(self, W: Any) -> Any:
        """Return X̃W̃, (R, d_out), taken from `a_hat0` at W̃₀ itself."""
        if W is self.W0 and self.a_hat0 is not None:
            return self.a_hat0
        if getattr(W, "shape", None) != self.W0.shape:
            checks.like("W", W, self.W0, of="W0")  # which raises the error
        return self.x @ W

    def residual(self, W: Any) -> Any:
        """Return f(X̃W̃) − y*, (R, d_out); at W̃₀ it is γg (unless the target was projected)."""
        checks.like("W", W, self.W0, of="W0")
        return self.transfer.f(self.pre_activation(W)) - self.y_target

    def value(self, W: Any) -> Any:
        """Return the objective at W̃, (d̃, d_out), as a 0-d array."""
        checks.like("W", W, self.W0, of="W0")
        xp = array_namespace(W)
        a_hat = self.pre_activation(W)
        data = xp.sum(self.transfer.F(a_hat)) - xp.sum(self.y_target * a_hat)
        return self.scale * data + self.regularization.value(W, self.W0, self.memory)

    def gradient(self, W: Any) -> Any:
        """Return c·X̃ᵀ(f(X̃W̃) − y*) + ∂R/∂W̃, (d̃, d_out), with c = 1 ("sum") or 1/B ("mean")."""
        checks.like("W", W, self.W0, of="W0")
        return self.unchecked_gradient(W)

    def unchecked_gradient(self, W: Any) -> Any:
        """Return `gradient` for the W̃ of a solver's inner loop, which came from this problem: not checked."""
        gradient = self.x.T @ (self.transfer.f(self.pre_activation(W)) - self.y_target)
        if self.scale != 1:
            gradient *= self.scale
        from_regularizer = self.regularization.gradient(W, self.W0, self.memory)
        if from_regularizer is not None:
            gradient += from_regularizer
        return gradient
